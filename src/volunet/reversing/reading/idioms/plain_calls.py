"""Calls as one writes them: without what they do anyway, nor sizes that they do not need."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from volunet.graph.operators import Source
from volunet.reversing.reading.idioms.graph import Graph, Idiom, made, with_slots
from volunet.reversing.reading.layers import Layer, form_of

_SINGLE: Final = re.compile(r"torch\.(sum|mean|amax|amin|squeeze)\(\{0\}, (dim=)?\{=0\}[,)].*")
_HALF: Final = re.compile(r"\{0\}\[:, (:\{=0\}|\{=0\}:)\]")


def single_size(layer: Layer, graph: Graph) -> Layer | None:
    """A layer norm or a parameter of one axis, whose size is a number and no tuple of one.

    So too the axis of a sum, of a mean and of what is squeezed.
    """
    known = layer.form.module in ("nn.LayerNorm", "nn.Parameter")
    known = known or (not layer.form.module and _SINGLE.fullmatch(layer.form.call) is not None)
    size = layer.slots[0] if known and layer.slots else None
    if not isinstance(size, tuple) or len(size) != 1:
        return None
    return with_slots(layer, (size[0], *layer.slots[1:]))


def without_axis(layer: Layer, graph: Graph) -> Layer | None:
    """A sum or a mean that does not keep its axis, which is what they do by default."""
    call, more = layer.form.call, ", keepdim=False)"
    if layer.form.module or not call.endswith(more) or call.count("keepdim") != 1:
        return None
    return replace(layer, form=replace(layer.form, call=call.removesuffix(more) + ")"))


def equal_parts(layer: Layer, graph: Graph) -> Layer | None:
    """A split into parts of one size."""
    sizes = layer.slots[0] if layer.form.call == "torch.split({0}, {=0}, dim={=1})" else None
    if not isinstance(sizes, tuple) or len(set(sizes)) != 1:
        return None
    call = f"torch.chunk({{0}}, {len(sizes)}, dim={layer.slots[1]})"
    return made(layer, Source(call), layer.inputs)


def halves(layer: Layer, graph: Graph) -> Layer | None:
    """Both halves of the channels by an index each, which are one split."""
    place = _half(layer, graph)
    if place is None:
        return None
    x = layer.inputs[0]
    parts = f"{x} in halves"
    if parts not in graph.makers:
        found = {_half(reader, graph) for reader in graph.readers(x)}
        if not {0, 1} <= found:
            return None
        form, slots = form_of(Source("torch.chunk({0}, 2, dim=1)"))
        graph.add(Layer(form, slots, (x,), parts, None, node=layer.node))
    return made(layer, Source(f"{{0}}[{place}]"), (parts,))


PLAIN_CALLS: Final[tuple[Idiom, ...]] = (single_size, without_axis, equal_parts, halves)


def _half(layer: Layer, graph: Graph) -> int | None:
    """Which half of a tensor's channels an index takes; None where it is none."""
    match = _HALF.fullmatch(layer.form.call)
    shape = graph.shape(layer.inputs[0]) if match is not None and not layer.form.module else None
    if match is None or shape is None or not isinstance(shape[1], int):
        return None
    if not isinstance(layer.slots[0], int) or 2 * layer.slots[0] != shape[1]:
        return None
    return 0 if match.group(1).startswith(":") else 1
