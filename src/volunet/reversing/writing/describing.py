"""Docstrings of blocks: the sizes that go in and come out."""

from __future__ import annotations

from collections.abc import Mapping

from volunet.graph.sizes import Size, ceil_div, floor_div
from volunet.graph.tensors import Shape
from volunet.reversing.structure.grammar import Form, Step
from volunet.reversing.writing.modules import Classes

_MOST_CHARACTERS = 82
"""Of a docstring of one line; of a longer one only the first input's sizes are told."""

_AXES = {1: "L", 2: "HW", 3: "DHW"}


def describe(form: Form, classes: Classes, shapes: Mapping[str, Shape | None]) -> str:
    """The sizes of a block's inputs and its answer: ``x (N, C, D, H, W) → (N, K, D, H, W)``."""
    steps = classes.scalars.instances[form]
    names = ["x", "skip", "other"]
    rows = [[shapes.get(name) for name in (*step.inputs, step.output)] for step in steps]
    first = rows[0][0]
    if first is None:
        return "x → the answer"
    letters = _AXES.get(len(first) - 2, "")
    texts = []
    for index in range(len(rows[0])):
        column = [row[index] for row in rows]
        texts.append(_shape(column, [row[0] for row in rows], letters, steps, form, classes))
    inputs = ", ".join(f"{name} {text}" for name, text in zip(names, texts[:-1], strict=False))
    if len(texts) > 2 and len(inputs) + len(texts[-1]) > _MOST_CHARACTERS:
        inputs = f"x {texts[0]} and {' and '.join(names[1 : len(texts) - 1])}"
    return f"{inputs} → {texts[-1]}"


def _shape(
    column: list[Shape | None], first: list[Shape | None], letters: str,
    steps: list[Step], form: Form, classes: Classes,
) -> str:  # fmt: skip
    if any(shape is None for shape in column):
        return "(…)"
    known = [shape for shape in column if shape is not None]
    rank = len(known[0])
    if any(len(shape) != rank for shape in known):
        return "(…)"
    channels = _channels([shape[1] for shape in known], steps, form, classes) if rank > 1 else ""
    spatial = []
    for axis in range(2, rank):
        letter = letters[axis - 2] if axis - 2 < len(letters) else f"S{axis}"
        pairs = [
            (shape[axis], base[axis] if base is not None and axis < len(base) else 1)
            for shape, base in zip(known, first, strict=True)
        ]
        spatial.append(_relation(pairs, letter))
    return f"({', '.join(['N', channels, *spatial][:rank])})"


def _channels(values: list[Size], steps: list[Step], form: Form, classes: Classes) -> str:
    for parameter in classes.parameters(form).arguments:
        if "channels" not in parameter.name:
            continue
        own = [classes.scalars.of(step)[parameter.index] for step in steps]
        if own == values:
            return parameter.name
    if all(value == values[0] for value in values):
        return str(values[0])
    return "C"


def _relation(pairs: list[tuple[Size, Size]], letter: str) -> str:
    """One axis by the input's: the same, a multiple or a part."""
    if all(a == b for a, b in pairs):
        return letter
    if all(a == 1 for a, _ in pairs):
        return "1"
    for k in (2, 3, 4, 8, 16, 32):
        if all(a == b * k for a, b in pairs):
            return f"{k}·{letter}"
        if all(a == floor_div(b, k) for a, b in pairs):
            return f"⌊{letter}/{k}⌋"
        if all(a == ceil_div(b, k) for a, b in pairs):
            return f"⌈{letter}/{k}⌉"
    if all(isinstance(a, int) and a == pairs[0][0] for a, _ in pairs):
        return str(pairs[0][0])
    return f"{letter}′"
