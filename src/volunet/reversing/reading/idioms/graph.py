"""`Graph`: layers by what they make, who reads it, and the arithmetic between them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from volunet.graph.operators import Source
from volunet.graph.sizes import Expression
from volunet.graph.tensors import Shape
from volunet.reversing.reading.constants import Constants
from volunet.reversing.reading.layers import PLACE, SLOT, Layer, Listed, Weight, form_of
from volunet.reversing.reading.nodes import Reading
from volunet.reversing.reading.pytorch import Slot

ROUNDING: Final = 2e-6
"""Relative difference of two constants that are the same one, rounded to float32 in between."""


class Graph:
    """The layers of a network while idioms are joined.

    Args:
        reading: The network.
        constants: Its weights.

    Attributes:
        makers: The layer that makes each tensor, in an order in which they can run.
        answers: The network's outputs.
        shapes: Sizes of all tensors.
        constants: Its weights.
    """

    def __init__(self, reading: Reading, constants: Constants) -> None:
        self.makers: dict[str, Layer] = {layer.output: layer for layer in reading.layers}
        self.answers = set(reading.outputs)
        self.shapes: Mapping[str, Shape | None] = reading.shapes
        self.constants = constants
        self._readers: Counter[str] = Counter()
        self._same: dict[str, str] = {}
        for layer in reading.layers:
            self._readers.update(set(layer.inputs))

    def same(self, name: str) -> str:
        """The tensor that stands in for one whose layer was dropped."""
        while name in self._same:
            name = self._same[name]
        return name

    def shape(self, name: str) -> Shape | None:
        """The sizes of a tensor."""
        return self.shapes.get(name)

    def inner(self, name: str, readers: int = 1) -> Layer | None:
        """The layer that makes a tensor which no more than so many layers read."""
        if name in self.answers or self._readers[name] != readers:
            return None
        return self.makers.get(name)

    def beside(self, layer: Layer) -> list[str]:
        """What else those read who read a layer, as far as it is made before the layer."""
        order = list(self.makers)
        before = set(order[: order.index(layer.output)])
        readers = self.readers(layer.output)
        return [name for other in readers for name in other.inputs if name in before]

    def readers(self, name: str) -> list[Layer]:
        """The layers that read a tensor."""
        return [layer for layer in self.makers.values() if name in layer.inputs]

    def add(self, layer: Layer) -> None:
        """Add a layer that makes a tensor which is not in the file."""
        self.makers[layer.output] = layer
        self._readers.update(set(layer.inputs))

    def put(self, layer: Layer) -> None:
        """Put a layer in place of the one that makes the same tensor."""
        before = self.makers[layer.output]
        self._readers.update(set(layer.inputs))
        self.makers[layer.output] = layer
        self._forget(before.inputs)

    def drop(self, layer: Layer, name: str) -> None:
        """Let everyone who reads a layer read another tensor instead."""
        self._same[layer.output] = name
        for other in list(self.makers.values()):
            if layer.output in other.inputs:
                self._readers[name] += name not in other.inputs
                self.makers[other.output] = _with_input(other, layer.output, name)
        if layer.output in self.answers:
            self.answers = (self.answers - {layer.output}) | {name}
        del self.makers[layer.output]
        del self._readers[layer.output]
        self._forget(layer.inputs)

    def _forget(self, names: Sequence[str]) -> None:
        """Drop what only read layers that are gone."""
        left = list(set(names))
        while left:
            name = left.pop()
            self._readers[name] -= 1
            if self._readers[name] == 0 and name not in self.answers and name in self.makers:
                left += set(self.makers.pop(name).inputs)

    def number(self, layer: Layer) -> float | None:
        """The one number that a layer adds or multiplies with, if that is what it does."""
        if layer.form.module == "nn.Parameter":
            return self.parameter_number(layer)
        return _as_number(layer.slots[0]) if len(layer.slots) == 1 else None

    def parameter_number(self, layer: Layer) -> float | None:
        """The value of a parameter of a single element."""
        weight = layer.weights[""].tensor
        if self.constants.size(weight) != 1:
            return None
        return float(self.constants.value(weight).reshape(-1)[0])

    def scaled(self, name: str) -> tuple[str, float]:
        """A tensor as another one times a number, through layers that nobody else reads."""
        factor = 1.0
        while True:
            layer = self.inner(name)
            found = None if layer is None else self.scaling(layer)
            if layer is None or found is None:
                return name, factor
            name, factor = layer.inputs[0], factor * found

    def scaling(self, layer: Layer) -> float | None:
        """The number that a layer multiplies its one input with; None of any other layer."""
        call = layer.form.call
        if call == "-{0}":
            return -1.0
        if call in _TIMES or call in _OVER:
            number = self.number(layer)
            if number is None or (call in _OVER and number == 0):
                return None
            return 1 / number if call in _OVER else number
        return None

    def shifted(self, name: str) -> tuple[str, float] | None:
        """A tensor as another one plus a number, by one layer that nobody else reads."""
        layer = self.inner(name)
        if layer is None:
            return None
        number = self.number(layer) if layer.form.call in (*_PLUS, *_MINUS) else None
        if number is None:
            return None
        return layer.inputs[0], -number if layer.form.call in _MINUS else number

    def product(self, layer: Layer) -> tuple[str, str, float] | None:
        """A layer as the product of two tensors and a number."""
        factor = self.scaling(layer)
        if factor is not None:
            base, more = self.scaled(layer.inputs[0])
            inner = self.inner(base)
            if inner is None:
                return None
            found = self.product(inner)
            return None if found is None else (found[0], found[1], found[2] * factor * more)
        if layer.form.call not in ("{0} * {1}", "{0} * {0}"):
            return None
        first, a = self.scaled(layer.inputs[0])
        second, b = self.scaled(layer.inputs[-1])
        return first, second, a * b

    def function(self, name: str, *calls: str) -> Layer | None:
        """The layer that makes a tensor by a function, which nobody else reads."""
        layer = self.inner(name)
        return layer if layer is not None and function_of(layer) in calls else None

    def is_filled(self, weight: Weight, value: float) -> bool:
        """Whether all of a weight's elements have one value."""
        if weight.fill is not None:
            return weight.fill == value
        return bool((self.constants.value(weight.tensor) == value).all())


Idiom: TypeAlias = "Callable[[Layer, Graph], Layer | str | None]"
"""From a layer: the one that does the same as it and those before; the tensor that it equals."""

_TIMES: Final = ("{0} * {=0}", "{=0} * {0}", "{0} * {module}", "{module} * {0}")
_OVER: Final = ("{0} / {=0}", "{0} / {module}")
_PLUS: Final = ("{0} + {=0}", "{=0} + {0}", "{0} + {module}", "{module} + {0}")
_MINUS: Final = ("{0} - {=0}", "{0} - {module}")
# A parameter's own first slot is its shape.


def function_of(layer: Layer) -> str:
    """The call of a layer without weights, whether a module or a function does it."""
    return layer.form.function or layer.form.call


def is_near(number: float, other: float) -> bool:
    """Whether two numbers are the same but for rounding to float32."""
    return math.isclose(number, other, rel_tol=ROUNDING)


def made(
    last: Layer,
    source: Source,
    inputs: Sequence[str],
    weights: Mapping[str, Weight] | None = None,
    role: str | None = None,
) -> Layer:
    """A layer in place of the last layer of an idiom.

    Args:
        last: That layer.
        source: What it is in PyTorch; its weights are named by `weights` instead.
        inputs: What it reads.
        weights: Where each parameter comes from.
        role: The part that it plays; None for that of the last layer.
    """
    weights = weights or {}
    named = replace(source, weights=dict.fromkeys(weights, 0))
    form, slots = form_of(named)
    return replace(
        last,
        form=form,
        slots=slots,
        inputs=tuple(inputs),
        weights=weights,
        role=last.role if role is None else role,
    )


def with_arguments(layer: Layer, **arguments: Slot) -> Layer:
    """A layer with other values for arguments of its module."""
    slots = list(layer.slots)
    for name, value in arguments.items():
        slots[layer.form.arguments.index(name)] = value
    return with_slots(layer, slots)


def with_slots(layer: Layer, slots: Sequence[Slot]) -> Layer:
    """A layer with other numbers."""
    return replace(layer, slots=tuple(slots))


def call_text(layer: Layer) -> str:
    """The call of a layer without a module, with its numbers in it."""
    return SLOT.sub(lambda match: slot_text(layer.slots[int(match.group(1))]), layer.form.call)


def slot_text(slot: Slot) -> str:
    """A number or a list of numbers as it is written."""
    return str(list(slot)) if isinstance(slot, Listed) else str(slot)


def renumbered(text: str, inputs: Sequence[str], together: list[str]) -> str:
    """A call whose places count in a list of inputs, which is made longer where it must be."""

    def place(match: re.Match[str]) -> str:
        name = inputs[int(match.group(1))]
        if name not in together:
            together.append(name)
        return f"{{{together.index(name)}}}"

    return PLACE.sub(place, text)


def numbers_of(shape: Shape | None) -> tuple[int, ...] | None:
    """Sizes that are all numbers."""
    if shape is None or any(isinstance(size, Expression) for size in shape):
        return None
    return tuple(int(str(size)) for size in shape)


def _with_input(layer: Layer, old: str, new: str) -> Layer:
    """A layer that reads another tensor; one that it reads already is not read twice."""
    names = [new if name == old else name for name in layer.inputs]
    if len(set(names)) == len(names):
        return replace(layer, inputs=tuple(names))
    together: list[str] = []
    call = renumbered(layer.form.call, names, together)
    return replace(layer, form=replace(layer.form, call=call), inputs=tuple(together))


def _as_number(slot: Slot) -> float | None:
    known = isinstance(slot, int | float) and not isinstance(slot, bool)
    return float(slot) if known else None  # type: ignore[arg-type]
