"""The layers of a drawing: which node stands on which, and in what order, so that few lines cross.

The first half of Sugiyama's method; `volunet.graph.drawing.layers` finds the coordinates.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_SWEEPS: Final = 12


@dataclass(frozen=True)
class Layers:
    """A graph in layers; where a line passes a layer it has a dummy node there.

    Attributes:
        layer: Layer of each node, dummies behind the real ones.
        order: Nodes of each layer from left to right.
        above: Neighbours of each node in the layer above.
        below: Neighbours of each node in the layer below.
        chains: The nodes that each line passes, its ends included.
        spine: A longest path: one node of each layer.
    """

    layer: list[int]
    order: list[list[int]]
    above: list[list[int]]
    below: list[list[int]]
    chains: list[list[int]]
    spine: list[int]


def plan_order(count: int, edges: Sequence[tuple[int, int]]) -> Layers:
    """Put nodes on layers and in order.

    Args:
        count: Number of nodes.
        edges: Pairs of nodes, the first smaller than the second.
    """
    layer, deepest = _longest_paths(count, edges)
    spine = _spine(layer, deepest, edges)
    chains: list[list[int]] = []
    for start, end in edges:
        passed = list(range(layer[start] + 1, layer[end]))
        chains.append([start, *range(len(layer), len(layer) + len(passed)), end])
        layer.extend(passed)
    above: list[list[int]] = [[] for _ in layer]
    below: list[list[int]] = [[] for _ in layer]
    for chain in chains:
        for upper, lower in pairwise(chain):
            below[upper].append(lower)
            above[lower].append(upper)
    order = _first_order(layer, below, spine)
    return Layers(layer, _fewest_crossings(order, above, below), above, below, chains, spine)


def _longest_paths(count: int, edges: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Each node's layer, and of which node it follows there; sources sink to what they feed."""
    layer = [0] * count
    deepest = [-1] * count
    for start, end in sorted(edges, key=lambda edge: edge[1]):
        if layer[start] + 1 > layer[end]:
            layer[end] = layer[start] + 1
            deepest[end] = start
    nearest: dict[int, int] = {}
    for start, end in edges:
        nearest[start] = min(nearest.get(start, layer[end]), layer[end])
    for node, below in nearest.items():
        if deepest[node] < 0:
            layer[node] = below - 1
    return layer, deepest


def _spine(layer: list[int], deepest: list[int], edges: Sequence[tuple[int, int]]) -> list[int]:
    node = max(range(len(layer)), key=lambda i: layer[i], default=-1)
    spine = []
    while node >= 0:
        spine.append(node)
        node = deepest[node]
    return spine[::-1]


def _first_order(layer: list[int], below: list[list[int]], spine: list[int]) -> list[list[int]]:
    """Depth first, the spine before all: what branches off late comes next to it, and so on."""
    order: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    seen = [False] * len(layer)
    place = {node: rank for rank, node in enumerate(spine)}
    starts = sorted(range(len(layer)), key=lambda node: node not in place)
    stack = list(reversed(starts))
    while stack:
        node = stack.pop()
        if seen[node]:
            continue
        seen[node] = True
        order[layer[node]].append(node)
        stack.extend(sorted(below[node], key=lambda child: child in place))
    return order


def _fewest_crossings(
    order: list[list[int]], above: list[list[int]], below: list[list[int]]
) -> list[list[int]]:
    """Sweeps down and up that move each node to the mean place of its neighbours."""
    best, fewest = order, count_crossings(order, below)
    current = [list(row) for row in order]
    for sweep in range(_SWEEPS):
        if fewest == 0:
            break
        rows = range(1, len(current)) if sweep % 2 == 0 else range(len(current) - 2, -1, -1)
        neighbours, step = (above, -1) if sweep % 2 == 0 else (below, 1)
        for row in rows:
            place = {node: index for index, node in enumerate(current[row + step])}
            own = {node: float(index) for index, node in enumerate(current[row])}
            for node in current[row]:
                near = [place[other] for other in neighbours[node]]
                own[node] = sum(near) / len(near) if near else own[node]
            current[row].sort(key=own.__getitem__)
        crossings = count_crossings(current, below)
        if crossings < fewest:
            best, fewest = [list(row) for row in current], crossings
    return best


def count_crossings(order: list[list[int]], below: list[list[int]]) -> int:
    """Pairs of lines that cross, between all neighbouring layers."""
    crossings = 0
    for upper, lower in pairwise(order):
        place = {node: index for index, node in enumerate(lower)}
        passed: list[int] = []
        for node in upper:
            ends = sorted(place[other] for other in below[node])
            crossings += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return crossings
