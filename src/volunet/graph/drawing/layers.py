"""Where the boxes and lines of a graph go: from top to bottom, its longest path in one column.

Pure arithmetic of sizes and edges. Boxes are grouped into columns that stay straight: the longest
path is one, every line that passes several layers is one. Columns are then moved towards the
longest path as close as boxes allow.

Source:
    Sugiyama, Tagawa and Toda 1981, https://doi.org/10.1109/TSMC.1981.4308636; columns as in Brandes
    and Köpf 2002, https://doi.org/10.1007/3-540-45848-4_3.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from volunet.graph.drawing.ordering import Layers, plan_order

_BESIDE: Final = 28.0
"""Between two boxes."""

_LANE: Final = 16.0
"""Between a line and its neighbour."""

_GAP: Final = 26.0
"""Between two layers, where lines go straight down; more where they go sideways."""

_PORT: Final = 12.0
"""Between the places at which lines meet a box."""


@dataclass(frozen=True)
class Layout:
    """Where everything goes.

    Attributes:
        corners: Upper left corner of each box.
        routes: Points of each line, downwards: a sideways step lies between two layers.
        width: From the leftmost to the rightmost.
        height: From the top to the bottom.
    """

    corners: list[tuple[float, float]]
    routes: list[list[tuple[float, float]]]
    width: float
    height: float


def plan_layers(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Layout:
    """Lay a graph out from top to bottom.

    Args:
        sizes: Width and height of each box.
        edges: Pairs of boxes, the first smaller than the second.

    Example:
        >>> plan_layers([(40, 20), (60, 20)], [(0, 1)]).corners
        [(10.0, 0.0), (0.0, 46.0)]
    """
    if not sizes:
        return Layout([], [], 0.0, 0.0)
    layers = plan_order(len(sizes), edges)
    widths = [width for width, _ in sizes] + [0.0] * (len(layers.layer) - len(sizes))
    centres = _centres(layers, widths, len(sizes))
    left = min(c - w / 2 for c, w in zip(centres, widths, strict=True))
    centres = [c - left for c in centres]
    heights = [max((sizes[n][1] for n in row if n < len(sizes)), default=0) for row in layers.order]
    tops = _tops(layers, centres, heights)
    ports = _Ports(layers, centres, widths)
    routes = []
    for chain in layers.chains:
        bottom = tops[layers.layer[chain[0]]] + sizes[chain[0]][1]
        x = ports.bottom[chain[0], chain[1]]
        points = [(x, bottom), (x, tops[layers.layer[chain[0]]] + heights[layers.layer[chain[0]]])]
        for node in chain[1:-1]:
            row = layers.layer[node]
            points += [(centres[node], tops[row]), (centres[node], tops[row] + heights[row])]
        points.append((ports.top[chain[-1], chain[-2]], tops[layers.layer[chain[-1]]]))
        routes.append(points)
    corners = [
        (centres[node] - widths[node] / 2, tops[layers.layer[node]]) for node in range(len(sizes))
    ]
    width = max(c + w / 2 for c, w in zip(centres, widths, strict=True))
    return Layout(corners, routes, width, tops[-1] + heights[-1])


def _tops(layers: Layers, centres: list[float], heights: list[float]) -> list[float]:
    """The upper edge of each layer; a gap grows with the longest way to the side in it."""
    tops = [0.0]
    for row, height in zip(layers.order[:-1], heights, strict=False):
        aside = max((abs(centres[n] - centres[m]) for n in row for m in layers.below[n]), default=0)
        tops.append(tops[-1] + height + _GAP + min(34.0, aside * 0.08))
    return tops


def _centres(layers: Layers, widths: list[float], real: int) -> list[float]:
    """The middle of each node: one for each column, as near to the spine as its neighbours let."""
    column = _columns(layers, real)
    right: dict[int, dict[int, float]] = {}
    left: dict[int, dict[int, float]] = {}
    for row in layers.order:
        for a, b in pairwise(row):
            space = _BESIDE if a < real and b < real else _LANE
            apart = (widths[a] + widths[b]) / 2 + space
            one, other = column[a], column[b]
            right.setdefault(one, {})[other] = max(right.get(one, {}).get(other, 0.0), apart)
            left.setdefault(other, {})[one] = right[one][other]
    spine = column[layers.spine[0]]
    place = {spine: 0.0}
    for sign, beside in ((1.0, right), (-1.0, left)):
        for one in _topological(spine, beside):
            for other, apart in beside.get(one, {}).items():
                so_far = place.get(other, sign * apart)
                wanted = place[one] + sign * apart
                place[other] = max(so_far, wanted) if sign > 0 else min(so_far, wanted)
    return [place[column[node]] for node in range(len(widths))]


def _topological(start: int, beside: dict[int, dict[int, float]]) -> list[int]:
    """What is reached from a column, each behind all that are nearer to it."""
    done: list[int] = []
    seen = {start}
    stack = [(start, iter(beside.get(start, {})))]
    while stack:
        one, others = stack[-1]
        other = next((o for o in others if o not in seen), None)
        if other is None:
            done.append(one)
            stack.pop()
        else:
            seen.add(other)
            stack.append((other, iter(beside.get(other, {}))))
    return done[::-1]


def _columns(layers: Layers, real: int) -> list[int]:
    """Group nodes into columns that no other column crosses; each node's column by number."""
    place = {node: index for row in layers.order for index, node in enumerate(row)}
    on_spine = set(layers.spine)
    wishes: list[tuple[int, int, int]] = []
    for upper in range(len(layers.layer)):
        for lower in layers.below[upper]:
            if (upper in on_spine) != (lower in on_spine):
                continue  # the spine is a column of its own
            lines = (upper >= real) + (lower >= real)
            wishes.append((0 if upper in on_spine else 3 - lines, upper, lower))
    column = list(range(len(layers.layer)))
    head = list(column)
    taken: list[list[tuple[int, int]]] = [[] for _ in layers.order]
    below: dict[int, int] = {}
    above: dict[int, int] = {}
    for _, upper, lower in sorted(wishes):
        if upper in below or lower in above:
            continue
        pairs = taken[layers.layer[upper]]
        pair = (place[upper], place[lower])
        at = bisect_left(pairs, pair)
        if (at and pairs[at - 1][1] > pair[1]) or (at < len(pairs) and pairs[at][1] < pair[1]):
            continue
        insort(pairs, pair)
        below[upper], above[lower] = lower, upper
    for row in layers.order:
        for node in row:
            head[node] = head[above[node]] if node in above else node
    return head


class _Ports:
    """Where lines meet boxes: from left to right as they come, a straight one in the middle."""

    def __init__(self, layers: Layers, centres: list[float], widths: list[float]) -> None:
        self.bottom: dict[tuple[int, int], float] = {}
        self.top: dict[tuple[int, int], float] = {}
        for ports, neighbours in ((self.bottom, layers.below), (self.top, layers.above)):
            for node, others in enumerate(neighbours):
                for other, x in self._spread(centres[node], widths[node], others, centres):
                    ports[node, other] = x

    def _spread(
        self, centre: float, width: float, others: list[int], centres: list[float]
    ) -> list[tuple[int, float]]:
        ranked = sorted(set(others), key=lambda other: centres[other])
        lefts = sum(centres[other] < centre for other in ranked)
        middle = lefts if any(centres[other] == centre for other in ranked) else None
        if len(ranked) == 1 and middle is None:
            return [(ranked[0], centre)]
        zero = lefts - 0.5 if middle is None else float(middle)
        most = max((abs(rank - zero) for rank in range(len(ranked))), default=0.0)
        step = min(_PORT, max(width / 2 - 8, 0.0) / most) if most else 0.0
        return [(other, centre + (rank - zero) * step) for rank, other in enumerate(ranked)]
