"""Which edge a text beside the nodes belongs to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from volunet.graph.netron.drawing import Drawing, DrawnEdge
from volunet.graph.netron.geometry import Point
from volunet.graph.netron.ink import Words

_FURTHEST: Final = 40.0


def nearest_edges(labels: Iterable[Words], drawing: Drawing) -> list[tuple[str, DrawnEdge]]:
    """Give each label the edge that passes closest to its beginning, where Netron puts it."""
    found = []
    for label in labels:
        x, y = label.place
        begin = (x, y + label.size / 2)
        near = [(_distance(begin, edge.points), index) for index, edge in enumerate(drawing.edges)]
        if near and min(near)[0] < _FURTHEST * drawing.scale:
            found.append((label.text, drawing.edges[min(near)[1]]))
    return found


def _distance(point: Point, points: Sequence[Point]) -> float:
    return min(_to_segment(point, start, end) for start, end in pairwise(points))


def _to_segment(point: Point, start: Point, end: Point) -> float:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = dx * dx + dy * dy
    along = (point[0] - start[0]) * dx + (point[1] - start[1]) * dy
    share = min(1.0, max(0.0, along / length)) if length else 0.0
    return math.dist(point, (start[0] + share * dx, start[1] + share * dy))
