"""Layers that change nothing, and pairs of which one takes back what the other did."""

from __future__ import annotations

import re
from typing import Final

from volunet.graph.operators import Source
from volunet.reversing.idioms.graph import Graph, Idiom, function_of, made, with_slots
from volunet.reversing.layers import Layer

_RESHAPES: Final = re.compile(
    r"\{0\}\.(reshape|flatten|view)\(|torch\.(flatten|squeeze|unsqueeze)\(\{0\}"
    r"|\{0\}\[:, (:|None|, )+\]$"
)

_PERMUTE: Final = re.compile(r"\{0\}\.permute\((\{=\d+\}(, )?)+\)")


def is_reshape(layer: Layer) -> bool:
    """Whether a layer keeps its first input's elements in their order."""
    return _RESHAPES.match(function_of(layer)) is not None


def same_size(layer: Layer, graph: Graph) -> str | None:
    """An expansion or a reshape to the shape that the tensor has."""
    kept = layer.form.call.startswith("{0}.expand(") or is_reshape(layer)
    shape = graph.shape(layer.inputs[0]) if kept and layer.inputs else None
    return layer.inputs[0] if shape is not None and shape == layer.shape else None


def reshaped_back(layer: Layer, graph: Graph) -> str | None:
    """A reshape behind another one, to the shape from before both."""
    before = graph.inner(layer.inputs[0]) if is_reshape(layer) else None
    if before is None or not is_reshape(before):
        return None
    shape = graph.shape(before.inputs[0])
    return before.inputs[0] if shape is not None and shape == layer.shape else None


def transposed(layer: Layer, graph: Graph) -> Layer | str | None:
    """Two transpositions in a row: one, or none."""
    axes = _axes(layer)
    if axes == tuple(range(len(axes or ()))):
        return layer.inputs[0]
    before = graph.inner(layer.inputs[0]) if axes is not None else None
    first = None if before is None else _axes(before)
    if before is None or axes is None or first is None or len(first) != len(axes):
        return None
    both = tuple(first[axis] for axis in axes)
    if both == tuple(range(len(both))):
        return before.inputs[0]
    return made(layer, Source(f"{{0}}.permute({', '.join(map(str, both))})"), before.inputs)


def axes_behind(layer: Layer, graph: Graph) -> Layer | None:
    """A reshape that puts axes of size 1 behind the others, as a gate of channels needs them."""
    shape = graph.shape(layer.inputs[0]) if is_reshape(layer) else None
    if shape is None or layer.shape is None or not 1 <= len(shape) < len(layer.shape):
        return None
    more = len(layer.shape) - len(shape)
    if layer.shape != (*shape, *(1,) * more):
        return None
    call = f"{{0}}[{', '.join([':'] * len(shape) + ['None'] * more)}]"
    return None if layer.form.call == call else made(layer, Source(call), layer.inputs[:1])


def single_size(layer: Layer, graph: Graph) -> Layer | None:
    """A layer norm or a parameter of one axis, whose size is a number and no tuple of one."""
    if layer.form.module not in ("nn.LayerNorm", "nn.Parameter") or not layer.slots:
        return None
    size = layer.slots[0]
    if not isinstance(size, tuple) or len(size) != 1:
        return None
    return with_slots(layer, (size[0], *layer.slots[1:]))


COPIES: Final[tuple[Idiom, ...]] = (same_size, reshaped_back, axes_behind, transposed)

SINGLE_SIZES: Final[tuple[Idiom, ...]] = (single_size,)


def _axes(layer: Layer) -> tuple[int, ...] | None:
    if _PERMUTE.fullmatch(layer.form.call) is None:
        return None
    slots = [slot for slot in layer.slots if isinstance(slot, int)]
    return tuple(slots)
