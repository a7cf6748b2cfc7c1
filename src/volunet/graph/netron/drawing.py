"""The boxes with a title that are a graph's nodes, and the lines that join them.

A node is found by its geometry: the largest box with a text where Netron writes titles. Everything
that is written in it belongs to it; what is written elsewhere labels an edge. Ids and classes are
hints only.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from volunet.graph.netron.box_index import BoxIndex
from volunet.graph.netron.geometry import Box, Point
from volunet.graph.netron.ink import TITLE_SIZE, Area, Ink, Stroke, Words

Colour: TypeAlias = tuple[int, int, int]

_TITLE_AT: Final = (7.0, 14.0)
"""Where Netron begins a title, seen from the corner of its box, in letters of `TITLE_SIZE`."""

_NEAR: Final = 3.2
"""How far a title may be from there, and the end of an edge from its node."""


@dataclass
class DrawnNode:
    """A node of the graph as it is drawn.

    Attributes:
        box: Its border.
        title: What its head says.
        tooltip: The tooltip of its head.
        hint: Netron's id of it, where it is still there.
        colour: Of its head; None where that is not known.
        lines: What is written below its head, each with its tooltip.
        order: Its place in the file.
    """

    box: Box
    title: Words
    colour: Colour | None
    lines: list[tuple[str, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its title, for messages."""
        return self.title.text[:60]


@dataclass(frozen=True)
class DrawnEdge:
    """An edge of the graph as it is drawn.

    Attributes:
        source: Index of the node that it leaves.
        target: Index of the node that it enters.
        points: Points along it.
        hint: Netron's id of it, where it is still there.
    """

    source: int
    target: int
    points: tuple[Point, ...]
    hint: str


@dataclass(frozen=True)
class LooseEdge:
    """A line with one end at a node and the other at none.

    Attributes:
        node: Index of the node that it touches.
        end: Where it ends.
        is_leaving: Whether it begins at the node.
    """

    node: int
    end: Point
    is_leaving: bool


@dataclass
class Drawing:
    """A graph as it is drawn.

    Attributes:
        nodes: Its nodes, in the file's order.
        edges: Its edges, in the file's order.
        loose: Lines that would be edges if both ends were at nodes.
        labels: What is written beside the nodes.
        scale: How large it is drawn; 1 as Netron does it.
    """

    nodes: list[DrawnNode]
    edges: list[DrawnEdge]
    loose: list[LooseEdge]
    labels: list[Words]
    scale: float


def read_drawing(ink: Ink) -> Drawing:
    """Find nodes and edges in what a picture draws."""
    titled = _titled(ink)
    scale = _scale([words for _, words in titled])
    nodes = [DrawnNode(box, words, None) for box, words in sorted(titled, key=lambda t: t[1].order)]
    index = BoxIndex([node.box for node in nodes])
    _colour(nodes, index, ink.areas)
    labels = _write(nodes, index, ink.words)
    drawing = Drawing(nodes, [], [], labels, scale)
    for stroke in ink.strokes:
        _join(drawing, index, stroke)
    # Netron draws one edge between two nodes; former versions draw another over it for the mouse.
    single: dict[tuple[int, int], DrawnEdge] = {}
    for edge in drawing.edges:
        known = single.setdefault((edge.source, edge.target), edge)
        if edge.hint and not known.hint:
            single[edge.source, edge.target] = edge
    drawing.edges = list(single.values())
    return drawing


def _scale(words: Sequence[Words]) -> float:
    sizes = sorted(w.size for w in words)
    middle = sizes[len(sizes) // 2] if sizes else 0.0
    return middle / TITLE_SIZE if middle > 0 else 1.0


def _titled(ink: Ink) -> list[tuple[Box, Words]]:
    """Boxes with a text where a title stands, without those that lie in another."""
    corners: defaultdict[tuple[int, int], list[Box]] = defaultdict(list)
    for area in ink.areas:
        corners[_cell((area.box.left, area.box.top))].append(area.box)
    found: dict[Box, Words] = {}
    for words in ink.words:
        scale = words.size / TITLE_SIZE
        x, y = words.place[0] - _TITLE_AT[0] * scale, words.place[1] - _TITLE_AT[1] * scale
        boxes = [
            box
            for column, row in _around(_cell((x, y)))
            for box in corners.get((column, row), ())
            if abs(box.left - x) < _NEAR * scale
            and abs(box.top - y) < _NEAR * scale
            and box.height > 12 * scale
        ]
        if boxes:
            found.setdefault(max(boxes, key=lambda box: box.width * box.height), words)
    boxes = sorted(found, key=lambda box: -box.width * box.height)
    index = BoxIndex(boxes)
    outer = []
    for place, box in enumerate(boxes):
        middle = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
        if not any(other < place and boxes[other].holds(box) for other in index.at(middle)):
            outer.append((box, found[box]))
    return outer


def _cell(point: Point) -> tuple[int, int]:
    return int(point[0] // 8), int(point[1] // 8)


def _around(cell: tuple[int, int]) -> Iterable[tuple[int, int]]:
    return ((cell[0] + i, cell[1] + j) for i in (-1, 0, 1) for j in (-1, 0, 1))


def _colour(nodes: Sequence[DrawnNode], index: BoxIndex, areas: Iterable[Area]) -> None:
    """Give each node the colour of the area behind its title."""
    for area in areas:
        colour = read_colour(area.fill)
        if colour is None:
            continue
        for place in index.at((area.box.left, area.box.top), 1.0):
            node = nodes[place]
            if node.box.holds(area.box) and area.box.holds_point(node.title.place):
                node.colour = colour


def _write(nodes: Sequence[DrawnNode], index: BoxIndex, words: Iterable[Words]) -> list[Words]:
    """Give each node what is written in it; what is written elsewhere is returned."""
    inside: defaultdict[int, list[Words]] = defaultdict(list)
    labels: list[Words] = []
    for piece in words:
        place = next(index.at(piece.place), None)
        if place is None:
            labels.append(piece)
        elif abs(piece.place[1] - nodes[place].title.place[1]) > piece.size / 3:
            inside[place].append(piece)
    for place, pieces in inside.items():
        pieces.sort(key=lambda piece: piece.place[1])
        rows: list[list[Words]] = []
        for piece in pieces:
            if rows and abs(piece.place[1] - rows[-1][0].place[1]) < piece.size / 3:
                rows[-1].append(piece)
            else:
                rows.append([piece])
        for row in rows:
            row.sort(key=lambda piece: piece.place[0])
            text = " ".join(piece.text for piece in row)
            nodes[place].lines.append((text, row[0].tooltip))
    return labels


def _join(drawing: Drawing, index: BoxIndex, stroke: Stroke) -> None:
    """Note a line as an edge, where it is none within a node."""
    nodes, slack = drawing.nodes, _NEAR * drawing.scale
    first, last = stroke.points[0], stroke.points[-1]
    for place in index.at(first, slack):
        if all(nodes[place].box.holds_point(point, slack) for point in stroke.points):
            return
    source, target = (_nearest(nodes, index, point, slack) for point in (first, last))
    if source is not None and target is not None:
        drawing.edges.append(DrawnEdge(source, target, stroke.points, stroke.hint))
    elif source is not None:
        drawing.loose.append(LooseEdge(source, last, is_leaving=True))
    elif target is not None:
        drawing.loose.append(LooseEdge(target, first, is_leaving=False))


def _nearest(nodes: Sequence[DrawnNode], index: BoxIndex, point: Point, slack: float) -> int | None:
    near = [(nodes[place].box.distance_to_border(point), place) for place in index.at(point, slack)]
    return min(near)[1] if near else None


_HEX: Final = re.compile(r"#([0-9a-fA-F]{3,8})$")
_NAMES: Final[dict[str, Colour]] = {"black": (0, 0, 0), "white": (255, 255, 255)}


def read_colour(text: str) -> Colour | None:
    """A colour such as ``#eee`` or ``rgb(51, 85, 136)``; None of none, or where it is not known.

    Example:
        >>> read_colour("#358"), read_colour("none")
        ((51, 85, 136), None)
    """
    text = text.strip()
    match = _HEX.match(text)
    if match:
        digits = match[1]
        if len(digits) in (3, 4):
            digits = "".join(2 * digit for digit in digits[:3])
        if len(digits) < 6:
            return None
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)
    if text.startswith("rgb"):
        numbers = [int(number) for number in re.findall(r"\d+", text)[:3]]
        return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None
    return _NAMES.get(text)
