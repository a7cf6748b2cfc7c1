"""Runs of one block, each reading the one before, as a repetition of the block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from volunet.reversing.reading.layers import LayerForm
from volunet.reversing.structure.grammar import (
    BlockForm,
    Form,
    RepeatForm,
    Step,
    Value,
    block_of,
    repeat_of,
)

Pattern = Literal["same", "first", "linear", "list"]
"""How a slot goes through repetitions: the same; another in the first; by equal steps; or so."""

Run = tuple[int, int]
"""Where steps that read one another begin, and how many they are."""


def find_runs(steps: Sequence[Step], form: Form, outputs: frozenset[str]) -> list[Run]:
    """Where steps of a form follow one another, each the only reader of the one before."""
    readers = Counter(name for step in steps for name in set(step.inputs))
    runs: list[Run] = []
    index = 0
    while index < len(steps):
        if steps[index].form != form or len(steps[index].inputs) != 1:
            index += 1
            continue
        length = 1
        while index + length < len(steps):
            before, after = steps[index + length - 1], steps[index + length]
            alone = readers[before.output] == 1 and before.output not in outputs
            if after.form != form or after.inputs != (before.output,) or not alone:
                break
            if kernels_of(before) != kernels_of(after):
                break  # convolutions of another kernel are another part of a network
            length += 1
        runs.append((index, length))
        index += length
    return runs


def kernels_of(step: Step) -> tuple[object, ...]:
    """The kernels of a step's layers."""
    return tuple(layer.argument("kernel_size") for layer in step.layers)


def collapse(steps: Sequence[Step], runs: Sequence[Run]) -> list[Step]:
    """Steps with a repetition in place of each run."""
    lengths = dict(runs)
    collapsed: list[Step] = []
    index = 0
    while index < len(steps):
        length = lengths.get(index, 0)
        collapsed.append(repeat_of(steps[index : index + length]) if length else steps[index])
        index += max(1, length)
    return collapsed


def patterns_of(runs: Sequence[Sequence[Sequence[Value]]]) -> tuple[Pattern, ...]:
    """The pattern of each slot.

    Args:
        runs: Runs of instances of their slots.
    """
    return tuple(
        pattern_of([[slots[column] for slots in run] for run in runs])
        for column in range(len(runs[0][0]))
    )


def pattern_of(runs: Sequence[Sequence[object]]) -> Pattern:
    """The pattern of one slot through runs."""
    if all(value == run[0] for run in runs for value in run):
        return "same"
    if all(value == run[1] for run in runs for value in run[1:]):
        return "first"
    whole = all(isinstance(value, int) for run in runs for value in run)
    if whole and all(
        _gap(run, index) == _gap(run, 0) for run in runs for index in range(len(run) - 1)
    ):
        return "linear"
    return "list"


def _gap(run: Sequence[object], index: int) -> int:
    a, b = run[index], run[index + 1]
    return b - a if isinstance(a, int) and isinstance(b, int) else 0


def without_single(steps: Sequence[Step]) -> list[Step]:
    """Steps with the block itself for repetitions that are of one time everywhere."""
    most: dict[Form, int] = {}

    def look(step: Step) -> None:
        if isinstance(step.form, RepeatForm):
            most[step.form] = max(most.get(step.form, 0), len(step.parts))
        for part in step.parts:
            look(part)

    for step in steps:
        look(step)
    single = {form for form, times in most.items() if times == 1}
    return [rebuilt(step, lambda s: s.parts[0] if s.form in single else None) for step in steps]


def rebuilt(step: Step, change: Callable[[Step], Step | list[Step] | None]) -> Step:
    """A step whose parts, innermost first, are changed.

    Args:
        step: The step.
        change: For a step as it was, what stands in its place: another step, or, of a block, its
            new parts; None leaves it. It is asked with the old form and the new parts.
    """
    if isinstance(step.form, LayerForm):
        return step
    parts = [rebuilt(part, change) for part in step.parts]
    changed = change(Step(step.form, step.inputs, step.output, tuple(parts)))
    if isinstance(changed, Step):
        return changed
    if isinstance(step.form, BlockForm):
        return block_of(changed or parts)
    return repeat_of(parts)
