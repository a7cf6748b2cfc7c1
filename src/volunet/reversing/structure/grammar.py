"""The forms of a network: layers, blocks of steps, and repetitions of one block.

A form says what is alike of all its instances; a `Step` is an instance with its slots, the values
that may differ. Two parts of a graph have one form exactly if they are alike up to their slots, so
that finding repeated blocks is comparing forms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from volunet.reversing.reading.layers import Layer, LayerForm
from volunet.reversing.reading.pytorch import Slot


@dataclass(frozen=True)
class BodyStep:
    """One step of a block.

    Attributes:
        form: Its form.
        inputs: From 0: the block's steps before; −1, −2 …: the block's own inputs.
    """

    form: Form
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class BlockForm:
    """Steps that belong together and answer with the last one's answer.

    Attributes:
        steps: The steps in order.
        arity: How many inputs it has.
        is_head: Whether it is the network's head, which is a block of its own whatever it is like.
    """

    steps: tuple[BodyStep, ...]
    arity: int
    is_head: bool = False

    @cached_property
    def _hash(self) -> int:
        return hash((self.steps, self.arity, self.is_head))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, BlockForm) or self._hash != other._hash:
            return False
        mine, others = (self.arity, self.is_head), (other.arity, other.is_head)
        return mine == others and self.steps == other.steps

    @cached_property
    def count_slots(self) -> int:
        """How many slots it has."""
        return self.offsets[-1]

    @property
    def offsets(self) -> list[int]:
        """Where each step's slots begin among the block's."""
        offsets = [0]
        for step in self.steps:
            offsets.append(offsets[-1] + count_slots(step.form))
        return offsets

    @property
    def is_chain(self) -> bool:
        """Whether each step reads the one before, and nothing else."""
        return self.arity == 1 and all(
            step.inputs == ((index - 1) if index else -1,) for index, step in enumerate(self.steps)
        )


@dataclass(frozen=True)
class RepeatForm:
    """One block several times, each reading the one before.

    Its slots are the number of times, and then a `Column` for each slot of the block.

    Attributes:
        body: The block.
    """

    body: Form


class Column(tuple["Value", ...]):
    """The values of one slot through a repetition."""

    __slots__ = ()


Value: TypeAlias = "Slot | Column"

Form: TypeAlias = "LayerForm | BlockForm | RepeatForm"


@dataclass(frozen=True)
class Step:
    """An instance of a form.

    Attributes:
        form: Its form.
        inputs: The tensors that it reads.
        output: The tensor that it makes.
        parts: The steps that it consists of; none of a layer.
        layer: The layer, of a layer's step.
    """

    form: Form
    inputs: tuple[str, ...]
    output: str
    parts: tuple[Step, ...] = ()
    layer: Layer | None = None

    @cached_property
    def slots(self) -> tuple[Value, ...]:
        """The values of its slots."""
        if self.layer is not None:
            return self.layer.slots
        if isinstance(self.form, RepeatForm):
            columns = zip(*(part.slots for part in self.parts), strict=True)
            return (len(self.parts), *(Column(column) for column in columns))
        return tuple(slot for part in self.parts for slot in part.slots)

    @property
    def first(self) -> Layer:
        """Its first layer."""
        return self.layer if self.layer is not None else self.parts[0].first

    @property
    def last(self) -> Layer:
        """Its last layer, whose output is its own."""
        return self.layer if self.layer is not None else self.parts[-1].last

    @property
    def layers(self) -> list[Layer]:
        """All its layers in order."""
        if self.layer is not None:
            return [self.layer]
        return [layer for part in self.parts for layer in part.layers]


def step_of(layer: Layer) -> Step:
    """A layer as a step."""
    return Step(layer.form, layer.inputs, layer.output, (), layer)


def block_of(steps: Sequence[Step], *, is_head: bool = False) -> Step:
    """Steps in order as one block."""
    places: dict[str, int] = {}
    inputs: list[str] = []
    body = []
    for index, step in enumerate(steps):
        read = []
        for name in step.inputs:
            if name not in places:
                inputs.append(name)
                places[name] = -len(inputs)
            read.append(places[name])
        body.append(BodyStep(step.form, tuple(read)))
        places[step.output] = index
    form = BlockForm(tuple(body), len(inputs), is_head)
    return Step(form, tuple(inputs), steps[-1].output, tuple(steps))


def repeat_of(steps: Sequence[Step]) -> Step:
    """Steps of one form, each reading the one before, as a repetition."""
    return Step(RepeatForm(steps[0].form), steps[0].inputs, steps[-1].output, tuple(steps))


def count_slots(form: Form) -> int:
    """How many slots a form has."""
    if isinstance(form, LayerForm):
        return form.count_slots
    if isinstance(form, RepeatForm):
        return 1 + count_slots(form.body)
    return form.count_slots


def all_steps(steps: Iterable[Step]) -> Iterator[Step]:
    """Steps, and all that they consist of."""
    for step in steps:
        yield step
        yield from all_steps(step.parts)
