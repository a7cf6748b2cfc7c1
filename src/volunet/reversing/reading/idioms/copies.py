"""Layers that change nothing, and pairs of which one takes back what the other did."""

from __future__ import annotations

import re
from typing import Final

from volunet.graph.operators import Source
from volunet.reversing.reading.idioms.graph import Graph, Idiom, function_of, made
from volunet.reversing.reading.layers import Layer

_RESHAPES: Final = re.compile(
    r"\{0\}\.(reshape|flatten|unflatten|view)\(|torch\.(flatten|squeeze|unsqueeze)\(\{0\}"
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


def times_one(layer: Layer, graph: Graph) -> str | None:
    """A multiplication by 1, as exporters write the scales of an ELU."""
    return layer.inputs[0] if graph.scaling(layer) == 1.0 else None


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


def one_axis_as_two(layer: Layer, graph: Graph) -> Layer | None:
    """A reshape of one axis to two, as a shuffle of channels begins."""
    shape, out = graph.shape(layer.inputs[0]) if is_reshape(layer) else None, layer.shape
    if (
        shape is None
        or out is None
        or len(out) != len(shape) + 1
        or ".unflatten(" in layer.form.call
    ):
        return None
    for axis, size in enumerate(shape):
        first, second = out[axis : axis + 2]
        if out != (*shape[:axis], first, second, *shape[axis + 1 :]) or first == 1 or second == 1:
            continue
        if isinstance(first, int) and isinstance(second, int) and first * second == size:
            call = f"{{0}}.unflatten({axis}, ({first}, -1))"
            return made(layer, Source(call), layer.inputs[:1])
    return None


COPIES: Final[tuple[Idiom, ...]] = (
    same_size, times_one, reshaped_back, axes_behind, one_axis_as_two, transposed,
)  # fmt: skip


def _axes(layer: Layer) -> tuple[int, ...] | None:
    if _PERMUTE.fullmatch(layer.form.call) is None:
        return None
    slots = [slot for slot in layer.slots if isinstance(slot, int)]
    return tuple(slots)
