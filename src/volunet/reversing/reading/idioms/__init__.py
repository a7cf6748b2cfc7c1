"""Layers that exporters spread over several operators, put together again.

Each idiom is a module with functions that look at one layer, the last one of what may be an idiom,
and answer with the layer that does all of it. What made its intermediate values is dropped, since
nobody else reads them. An idiom is joined only where it is exactly what is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from volunet.reversing.reading.constants import Constants
from volunet.reversing.reading.idioms.activations import ACTIVATIONS
from volunet.reversing.reading.idioms.channel_norms import CHANNEL_NORMS
from volunet.reversing.reading.idioms.copies import COPIES
from volunet.reversing.reading.idioms.crops import CROPS
from volunet.reversing.reading.idioms.global_pools import GLOBAL_POOLS
from volunet.reversing.reading.idioms.graph import Graph, Idiom
from volunet.reversing.reading.idioms.layer_norms import LAYER_NORMS
from volunet.reversing.reading.idioms.paddings import PADDINGS
from volunet.reversing.reading.idioms.plain_calls import PLAIN_CALLS
from volunet.reversing.reading.idioms.response_norms import RESPONSE_NORMS
from volunet.reversing.reading.idioms.scales_and_biases import SCALES_AND_BIASES
from volunet.reversing.reading.layers import Layer
from volunet.reversing.reading.nodes import Reading

_FIRST: Final[tuple[Idiom, ...]] = (
    *COPIES,
    *ACTIVATIONS,
    *RESPONSE_NORMS,
    *CHANNEL_NORMS,
    *LAYER_NORMS,
    *SCALES_AND_BIASES,
    *PADDINGS,
    *CROPS,
)

_THEN: Final[tuple[Idiom, ...]] = (*GLOBAL_POOLS, *PLAIN_CALLS)
"""What would hide parts of the first: a layer norm begins with a mean."""


def joined(reading: Reading, constants: Constants) -> Reading:
    """A network with its spread layers as one each."""
    graph = Graph(reading, constants)
    for idioms in (_FIRST, _THEN):
        for layer in reading.layers:
            current = graph.makers.get(layer.output)
            while current is not None:
                current = _step(current, graph, idioms)
    return replace(
        reading,
        layers=tuple(graph.makers.values()),
        outputs=tuple(graph.same(name) for name in reading.outputs),
    )


def _step(layer: Layer, graph: Graph, idioms: Sequence[Idiom]) -> Layer | None:
    """Join the first idiom that ends in a layer; the layer that is there then, if one was."""
    for idiom in idioms:
        found = idiom(layer, graph)
        if isinstance(found, str):
            graph.drop(layer, found)
            return None
        if found is not None:
            graph.put(found)
            return found
    return None
