"""Means over all voxels of a channel, which are a pooling to one voxel."""

from __future__ import annotations

import re
from typing import Final

from volunet.graph.operators import Source
from volunet.graph.sizes import product
from volunet.reversing.reading.idioms.copies import is_reshape
from volunet.reversing.reading.idioms.graph import Graph, Idiom, made
from volunet.reversing.reading.layers import Layer

_POOLS: Final = {
    "torch.mean({0}, dim={=0}, keepdim=True)": "Avg",
    "torch.amax({0}, dim={=0}, keepdim=True)": "Max",
}


def global_pool(layer: Layer, graph: Graph) -> Layer | None:
    """A mean or a maximum over all spatial axes, which stay as axes of one voxel."""
    kind = _POOLS.get(layer.form.call)
    shape = graph.shape(layer.inputs[0]) if kind is not None else None
    if shape is None or not 3 <= len(shape) <= 5:
        return None
    if layer.slots != (tuple(range(2, len(shape))),):
        return None
    if any("-" in reader.form.call for reader in graph.readers(layer.output)):
        return None  # a statistic, which is subtracted
    module = f"nn.Adaptive{kind}Pool{len(shape) - 2}d(1)"
    return made(layer, Source("{module}({0})", module), layer.inputs, role="pooling")


def of_fewer_axes(layer: Layer, graph: Graph) -> Layer | None:
    """A global pooling of a tensor that has further axes of size 1 for it alone."""
    pool = graph.inner(layer.inputs[0]) if is_reshape(layer) else None
    match = None if pool is None else re.fullmatch(_MODULE, pool.form.module)
    before = graph.inner(pool.inputs[0]) if pool is not None and match is not None else None
    if pool is None or match is None or before is None or not is_reshape(before):
        return None
    x = before.inputs[0]
    shape, within = graph.shape(x), before.shape
    if shape is None or within is None or pool.argument("output_size") != 1:
        return None
    axes = len(shape) - 2
    is_same = within[:2] == shape[:2] and product(within) == product(shape)
    if not is_same or not 1 <= axes <= 3 or layer.shape != (*shape[:2], *(1,) * axes):
        return None
    module = f"{match.group(1)}{axes}d(1)"
    return made(layer, Source("{module}({0})", module), (x,), role="pooling")


GLOBAL_POOLS: Final[tuple[Idiom, ...]] = (global_pool, of_fewer_axes)

_MODULE: Final = r"(nn\.Adaptive(?:Avg|Max)Pool)[123]d"
