"""The values of an instance one by one, in an order that all instances of a form share.

A repetition's columns become scalars by their patterns: one value, or that of the first and that
of the others, or the first and a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from volunet.reversing.reading.layers import LayerForm
from volunet.reversing.reading.pytorch import Slot
from volunet.reversing.structure.grammar import BlockForm, Form, RepeatForm, Step, all_steps
from volunet.reversing.structure.repeats import Pattern, pattern_of

Scalar: TypeAlias = "Slot | tuple[Scalar, ...] | _Any"


class _Any:
    """A value that does not matter: nothing is made with it."""

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()


@dataclass(frozen=True)
class Place:
    """What a scalar is.

    Attributes:
        name: The argument that it is, ``depth`` of a number of repetitions, else empty.
        layer: Which of the form's layers it belongs to, counted from 0; −1 of a number of
            repetitions.
    """

    name: str
    layer: int


class Scalars:
    """The scalars of all forms of a network.

    Args:
        steps: The network's steps.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self.instances: dict[Form, list[Step]] = {}
        for step in all_steps(steps):
            self.instances.setdefault(step.form, []).append(step)
        self._patterns: dict[Form, tuple[Pattern, ...]] = {}
        self._places: dict[Form, tuple[Place, ...]] = {}
        self._values: dict[int, tuple[Step, tuple[Scalar, ...]]] = {}

    def of(self, step: Step) -> tuple[Scalar, ...]:
        """The scalars of an instance."""
        key = id(step)
        if key not in self._values:
            self._values[key] = step, self._computed(step)  # the step too: it keeps its id
        return self._values[key][1]

    def _computed(self, step: Step) -> tuple[Scalar, ...]:
        if step.layer is not None:
            return step.layer.slots
        if isinstance(step.form, BlockForm):
            return tuple(value for part in step.parts for value in self.of(part))
        rows = [self.of(part) for part in step.parts]
        scalars: list[Scalar] = [len(rows)]
        for column, pattern in enumerate(self.patterns(step.form)):
            values = [row[column] for row in rows]
            if pattern == "list":
                scalars.append(tuple(values))
                continue
            scalars.append(values[0])
            if pattern == "first":
                scalars.append(values[1] if len(values) > 1 else ANY)
            elif pattern == "linear":
                a, b = values[0], values[1] if len(values) > 1 else ANY
                scalars.append(b - a if isinstance(a, int) and isinstance(b, int) else ANY)
        return tuple(scalars)

    def patterns(self, form: Form) -> tuple[Pattern, ...]:
        """How each scalar of a repetition's block goes on, in all of its instances."""
        if form not in self._patterns:
            runs = [[self.of(part) for part in step.parts] for step in self.instances[form]]
            self._patterns[form] = tuple(
                pattern_of([[row[column] for row in run] for run in runs])
                for column in range(len(runs[0][0]))
            )
        return self._patterns[form]

    def places(self, form: Form) -> tuple[Place, ...]:
        """What each scalar of a form is."""
        if form not in self._places:
            self._places[form] = tuple(self._found(form))
        return self._places[form]

    def _found(self, form: Form) -> list[Place]:
        if isinstance(form, LayerForm):
            return [Place(form.slot_name(index), 0) for index in range(form.count_slots)]
        if isinstance(form, RepeatForm):
            places = [Place("depth", -1)]
            for place, pattern in zip(self.places(form.body), self.patterns(form), strict=True):
                places += [place] * (2 if pattern in ("first", "linear") else 1)
            return places
        found: list[Place] = []
        layers = 0
        for step in form.steps:
            own = self.places(step.form)
            found += [Place(p.name, p.layer if p.layer < 0 else p.layer + layers) for p in own]
            layers += count_layers(step.form)
        return found

    def offsets(self, form: BlockForm) -> list[int]:
        """Where each step's scalars begin among a block's."""
        offsets = [0]
        for step in form.steps:
            offsets.append(offsets[-1] + len(self.places(step.form)))
        return offsets


def count_layers(form: Form) -> int:
    """How many layers a form spells out."""
    if isinstance(form, LayerForm):
        return 1
    if isinstance(form, RepeatForm):
        return count_layers(form.body)
    return sum(count_layers(step.form) for step in form.steps)


def layer_forms(form: Form) -> Sequence[LayerForm]:
    """The layers that a form spells out, in order."""
    if isinstance(form, LayerForm):
        return [form]
    if isinstance(form, RepeatForm):
        return layer_forms(form.body)
    return [layer for step in form.steps for layer in layer_forms(step.form)]
