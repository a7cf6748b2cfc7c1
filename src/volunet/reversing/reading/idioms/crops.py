"""Slices in a row as one index, and crops of all spatial axes at both ends."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from volunet.graph.bounds import maximum, minimum, truncate_div
from volunet.graph.evaluation import evaluate
from volunet.graph.inspecting.limits import TRIED
from volunet.graph.operators import Source
from volunet.graph.sizes import Expression, Size, floor_div, symbols_of
from volunet.graph.tensors import Shape
from volunet.reversing.reading.idioms.graph import Graph, Idiom, call_text, made, renumbered
from volunet.reversing.reading.layers import Layer

_OWN_SIZE: Final = re.compile(r"\{0\}\.shape\[(\d+)\]")


def one_index(layer: Layer, graph: Graph) -> Layer | None:
    """Two slices of different axes in a row."""
    before = graph.inner(layer.inputs[0]) if layer.inputs else None
    first = None if before is None else _parts(before)
    second = _parts(layer)
    if before is None or first is None or second is None:
        return None
    rank = max(len(first), len(second))
    first, second = (parts + [":"] * (rank - len(parts)) for parts in (first, second))
    if any(a != ":" and b != ":" for a, b in zip(first, second, strict=True)):
        return None
    # Sizes of the tensor between the two are sizes of the first one on the axes that it keeps.
    asked = {int(axis) for part in second for axis in _OWN_SIZE.findall(part)}
    if any(axis < rank and first[axis] != ":" for axis in asked):
        return None
    x = before.inputs[0]
    inputs = [x]
    first = [renumbered(part, before.inputs, inputs) for part in first]
    second = [renumbered(part, (x, *layer.inputs[1:]), inputs) for part in second]
    both = [b if a == ":" else a for a, b in zip(first, second, strict=True)]
    return made(layer, Source(f"{{0}}[{', '.join(both)}]"), inputs)


def center_crop(layer: Layer, graph: Graph) -> Layer | None:
    """The middle of a tensor, of the spatial size of another one."""
    parts = _parts(layer)
    own = graph.shape(layer.inputs[0]) if parts is not None else None
    if parts is None or own is None or len(parts) != len(own) or parts[:2] != [":", ":"]:
        return None
    bounds = [_bounds(part, [graph.shape(name) for name in layer.inputs]) for part in parts[2:]]
    for name in (*layer.inputs[1:], *graph.beside(layer)):
        other = graph.shape(name)
        if other is None or len(other) != len(own) or len(own) < 3:
            continue
        triples = zip(bounds, own[2:], other[2:], strict=True)
        if all(bound is not None and _is_middle(bound, d, wanted) for bound, d, wanted in triples):
            call = "center_crop({0}, {1}.shape[2:])"
            return made(layer, Source(call), (layer.inputs[0], name))
    return None


CROPS: Final[tuple[Idiom, ...]] = (one_index, center_crop)


def _parts(layer: Layer) -> list[str] | None:
    """The slices of an index expression of an input, one an axis; None of anything else."""
    text = call_text(layer)
    if layer.form.module or not text.startswith("{0}[") or not text.endswith("]"):
        return None
    parts = _split(text[4:-1], ",")
    if parts is None or any(":" not in part for part in parts):
        return None
    return [part.strip() for part in parts]


def _split(text: str, sign: str) -> list[str] | None:
    """A text at signs that are in no brackets; None where brackets do not match."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return None
        if character == sign and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _bounds(part: str, shapes: Sequence[Shape | None]) -> tuple[Size, Size] | None:
    """Start and end of a slice as formulas."""
    texts = _split(part, ":")
    if texts is None or len(texts) != 2:
        return None
    start, stop = (_formula(text, shapes) for text in texts)
    return None if start is None or stop is None else (start, stop)


def _is_middle(bounds: tuple[Size, Size], d: Size, wanted: Size) -> bool:
    """Whether bounds are those of the middle of an axis, at all sizes where there is one."""
    start, stop = bounds
    gap = d - wanted
    middle = truncate_div(gap, 2)
    if middle is None or not isinstance(wanted, Expression):
        return False
    exact = stop - start == wanted and start in (floor_div(gap, 2), middle)
    return exact or _are_same(((start, middle), (stop - start, wanted)), (d, wanted, gap + 1))


def _are_same(pairs: Sequence[tuple[Size, Size]], positive: Sequence[Size]) -> bool:
    """Whether sizes of one symbol are the same wherever others are above 0, up to `TRIED`.

    An exporter's formulas may differ from ours where a size would be below 0: in how they round.
    """
    names = frozenset().union(*map(symbols_of, (*(s for pair in pairs for s in pair), *positive)))
    if len(names) != 1:
        return False
    values = {name: np.arange(1, TRIED + 1) for name in names}
    valid = np.ones(TRIED, dtype=bool)
    for size in positive:
        valid &= evaluate(size, values) > 0
    differ = np.zeros(TRIED, dtype=bool)
    for a, b in pairs:
        differ |= evaluate(a, values) != evaluate(b, values)
    return bool(valid.any() and not (differ & valid).any())


def _formula(text: str, shapes: Sequence[Shape | None]) -> Size | None:
    """The size that a call computes, by the shapes of its inputs; None where it has no formula."""
    readable = re.sub(r"\{(\d+)\}", r"_\1", text.strip())
    return _value(ast.parse(readable, mode="eval").body, shapes) if readable else None


def _value(node: ast.expr, shapes: Sequence[Shape | None]) -> Size | None:
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, shapes)
        return None if value is None else value * -1
    if isinstance(node, ast.Subscript):
        match = re.fullmatch(r"_(\d+)\.shape\[(\d+)\]", ast.unparse(node))
        shape = shapes[int(match.group(1))] if match else None
        return None if shape is None or match is None else shape[int(match.group(2))]
    if isinstance(node, ast.BinOp):
        return _operation(node, shapes)
    if isinstance(node, ast.Call) and not node.keywords:
        return _call(ast.unparse(node.func), node.args, shapes)
    return None


def _operation(node: ast.BinOp, shapes: Sequence[Shape | None]) -> Size | None:
    left, right = _value(node.left, shapes), _value(node.right, shapes)
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Add):
        return left + right
    if isinstance(node.op, ast.Sub):
        return left - right
    if isinstance(node.op, ast.Mult):
        return left * right
    if not isinstance(right, int) or right < 1:
        return None
    if isinstance(node.op, ast.FloorDiv):
        return floor_div(left, right)
    if isinstance(node.op, ast.Mod):
        return left - floor_div(left, right) * right
    return None


def _call(name: str, arguments: Sequence[ast.expr], shapes: Sequence[Shape | None]) -> Size | None:
    if name == "int" and len(arguments) == 1 and isinstance(arguments[0], ast.BinOp):
        quotient = arguments[0]
        if not isinstance(quotient.op, ast.Div):
            return None
        values = [_value(quotient.left, shapes), _value(quotient.right, shapes)]
        return (
            None if values[0] is None or values[1] is None else truncate_div(values[0], values[1])
        )
    values = [_value(argument, shapes) for argument in arguments]
    if name not in ("max", "min") or len(values) != 2 or values[0] is None or values[1] is None:
        return None
    return (maximum if name == "max" else minimum)(values[0], values[1])
