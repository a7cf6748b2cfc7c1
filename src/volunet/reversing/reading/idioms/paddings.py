"""Paddings in front of a convolution or a pooling, which are its own; and paddings in a row."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from volunet.graph.operators import Source
from volunet.reversing.reading.idioms.graph import Graph, Idiom, made, with_arguments
from volunet.reversing.reading.layers import Layer, Listed
from volunet.reversing.reading.pytorch import Slot

_PADS: Final = re.compile(
    r"F\.pad\(\{0\}, \{=0\}(, value=(\{=1\}|-torch\.inf|float\(\"-inf\"\)(\.item\(\))?))?\)"
)

Sides: TypeAlias = "tuple[list[tuple[int, int]], float]"
"""Padding in front and behind of each axis, and its value."""


def padded(layer: Layer, graph: Graph) -> Layer | None:
    """A convolution or a pooling behind a padding of what it pads with itself."""
    before = graph.inner(layer.inputs[0]) if layer.form.is_module else None
    if before is None or layer.shape is None:
        return None
    found = sides_of(before, len(layer.shape))
    if found is None or found[1] != _own_value(layer):
        return None
    sides, axes = found[0][2:], len(layer.shape) - 2
    if any(pair != (0, 0) for pair in found[0][:2]) or any(side < 0 for p in sides for side in p):
        return None
    own = per_axis(layer.argument("padding"), axes)
    if own is None:
        return None
    both = [(begin + p, end + p) for (begin, end), p in zip(sides, own, strict=True)]
    if any(begin != end for begin, end in both):
        return _conv_of_padded(layer, before, both)
    padding = tuple(begin for begin, _ in both)
    if not layer.form.module.startswith("nn.Conv"):
        kernel = per_axis(layer.argument("kernel_size"), axes)
        if kernel is None or any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
            return None
    argument: Slot = padding[0] if len(set(padding)) == 1 else padding
    return replace(with_arguments(layer, padding=argument), inputs=before.inputs)


def in_a_row(layer: Layer, graph: Graph) -> Layer | None:
    """Two paddings of one value, one behind the other."""
    before = graph.inner(layer.inputs[0]) if layer.inputs else None
    if before is None or layer.shape is None:
        return None
    rank = len(layer.shape)
    first, second = sides_of(before, rank), sides_of(layer, rank)
    if first is None or second is None or first[1] != second[1]:
        return None
    pairs = list(zip(first[0], second[0], strict=True))
    if any(side < 0 for a, b in pairs for side in (*a, *b)):
        return None
    sides = [(a[0] + b[0], a[1] + b[1]) for a, b in pairs]
    return made(layer, Source(f"F.pad({{0}}, {_listed(sides)}{_value(first[1])})"), before.inputs)


def infinite(layer: Layer, graph: Graph) -> Layer | None:
    """A padding of −∞, which is a number and no tensor."""
    wrong = 'value=float("-inf").item()'
    if wrong not in layer.form.call:
        return None
    call = layer.form.call.replace(wrong, "value=-torch.inf")
    return replace(layer, form=replace(layer.form, call=call))


PADDINGS: Final[tuple[Idiom, ...]] = (infinite, in_a_row, padded)


def sides_of(layer: Layer, rank: int) -> Sides | None:
    """The padding of each axis of a tensor, by a layer that pads with a number and by numbers."""
    match = _PADS.fullmatch(layer.form.call)
    if match is None:
        return None
    listed = layer.slots[0]
    if not isinstance(listed, tuple) or len(listed) > 2 * rank:
        return None
    sides = [(0, 0)] * rank
    for place in range(len(listed) // 2):
        sides[rank - 1 - place] = (int(listed[2 * place]), int(listed[2 * place + 1]))
    value = 0.0
    if match.group(1):
        number = layer.slots[1] if len(layer.slots) > 1 else -math.inf
        if not isinstance(number, int | float):
            return None
        value = float(number)
    return sides, value


def per_axis(slot: Slot, axes: int) -> tuple[int, ...] | None:
    """A number for each axis, of one for all or one for each."""
    if isinstance(slot, bool | str | float) or slot is None:
        return None
    numbers = (slot,) * axes if isinstance(slot, int) else tuple(slot)
    return tuple(int(n) for n in numbers) if len(numbers) == axes else None


def _own_value(layer: Layer) -> float | None:
    """What a layer would pad with itself."""
    module = layer.form.module
    if re.fullmatch(r"nn\.Conv[123]d", module):
        return 0.0
    if re.fullmatch(r"nn\.AvgPool[123]d", module):
        is_plain = layer.argument("ceil_mode") is False
        counts = layer.argument("count_include_pad") is True
        return 0.0 if is_plain and counts else None
    if re.fullmatch(r"nn\.MaxPool[123]d", module):
        return -math.inf if layer.argument("ceil_mode") is False else None
    return None


def _conv_of_padded(layer: Layer, before: Layer, sides: Sequence[tuple[int, int]]) -> Layer | None:
    """A convolution that pads its input beforehand, differently in front and behind."""
    if not layer.form.module.startswith("nn.Conv"):
        return None
    without = with_arguments(layer, padding=0)
    form = replace(layer.form, call=f"{{module}}(F.pad({{0}}, {{={len(layer.form.arguments)}}}))")
    listed = Listed(side for pair in reversed(sides) for side in pair)
    return replace(without, form=form, slots=(*without.slots, listed), inputs=before.inputs)


def _listed(sides: Sequence[tuple[int, int]]) -> str:
    kept = list(sides)
    while kept and kept[0] == (0, 0):
        kept.pop(0)
    return str([side for pair in reversed(kept) for side in pair])


def _value(value: float) -> str:
    if value == 0:
        return ""
    return ", value=-torch.inf" if value == -math.inf else f", value={value:.7g}"
