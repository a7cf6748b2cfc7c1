"""What a picture draws, in its own coordinates: texts, filled or closed areas, and open lines.

Groups, transforms and styles are worked out here, so that it does not matter whether an editor or
an optimiser has flattened, merged or renamed them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from volunet.graph.netron.geometry import (
    Box,
    Point,
    Transform,
    box_around,
    number_of,
    numbers_in,
    read_transform,
)
from volunet.graph.netron.paths import Line, read_path
from volunet.graph.netron.svg_file import Element

_Styles: TypeAlias = Mapping[str, str]

NOT_DRAWN: Final = frozenset(
    ("defs", "marker", "clipPath", "mask", "symbol", "pattern", "style", "script", "metadata",
     "title", "desc", "linearGradient", "radialGradient", "filter", "namedview")
)  # fmt: skip
"""Elements that are not drawn where they stand."""

_HINTS: Final = ("node-", "input-", "edge-")
_RULE: Final = re.compile(r"([.#][\w-]+)\s*\{([^{}]*)\}")
_INHERITED: Final = ("fill", "font-size", "display")


@dataclass(frozen=True)
class Words:
    """A piece of text.

    Attributes:
        place: Where its baseline begins.
        text: The text, blanks at its ends left out.
        tooltip: What a browser shows over it, empty where nothing.
        size: Height of its letters; that of Netron's titles where it is not said.
        hint: Netron's id of the element that it stands in, where it is still there.
        order: Its place in the file.
    """

    place: Point
    text: str
    tooltip: str
    size: float
    hint: str
    order: int


@dataclass(frozen=True)
class Area:
    """The box of a closed shape.

    Attributes:
        box: The box.
        fill: Its colour as it is written, ``none`` included; empty where it is not said.
    """

    box: Box
    fill: str


@dataclass(frozen=True)
class Stroke:
    """An open line.

    Attributes:
        points: The points along it.
        hint: Netron's id of it, where it is still there.
        order: Its place in the file.
    """

    points: tuple[Point, ...]
    hint: str
    order: int


@dataclass
class Ink:
    """Everything that is drawn.

    Attributes:
        words: The texts, in the file's order.
        areas: The closed shapes.
        strokes: The open lines, in the file's order.
        bitmaps: How many bitmaps there are.
    """

    words: list[Words] = field(default_factory=list)
    areas: list[Area] = field(default_factory=list)
    strokes: list[Stroke] = field(default_factory=list)
    bitmaps: int = 0


def read_ink(root: Element) -> Ink:
    """Work out what a picture draws."""
    pen = _Pen(dict(_rules(root)))
    for element in root.elements:
        pen.draw(element, None, Transform(), {}, "")
    return pen.ink


TITLE_SIZE: Final = 11.0
"""Height of the letters of an operator's name in Netron."""


class _Pen:
    """Walks the elements; nothing here goes deeper than `svg_file.DEEPEST`."""

    def __init__(self, rules: dict[str, dict[str, str]]) -> None:
        self.ink = Ink()
        self._rules = rules
        self._order = 0

    def draw(
        self,
        element: Element,
        parent: Element | None,
        outer: Transform,
        inherited: _Styles,
        hint: str,
    ) -> None:
        if element.tag in NOT_DRAWN:
            return
        styles = self._styles(element, inherited)
        if styles.get("display") == "none":
            return
        here = outer @ read_transform(element.attributes.get("transform"))
        name = element.attributes.get("id", "")
        hint = name if name.startswith(_HINTS) else hint
        self._order += 1
        if element.tag == "text":
            self._write(element, parent, here, styles, hint)
        elif element.tag == "image":
            self.ink.bitmaps += 1
        else:
            for line in _lines_of(element):
                self._line(line, here, styles.get("fill", ""), hint)
            passed = {key: styles[key] for key in _INHERITED if key in styles}
            for child in element.elements:
                self.draw(child, element, here, passed, hint)

    def _styles(self, element: Element, inherited: _Styles) -> _Styles:
        own: dict[str, str] = {
            key: element.attributes[key] for key in _INHERITED if key in element.attributes
        }
        for name in element.attributes.get("class", "").split():
            own |= self._rules.get(f".{name}", {})
        own |= self._rules.get(f"#{element.attributes.get('id', '')}", {})
        own |= dict(_declarations(element.attributes.get("style", "")))
        return {**inherited, **own}

    def _line(self, line: Line, here: Transform, fill: str, hint: str) -> None:
        points = tuple(here(point) for point in line.points)
        if not all(map(_is_near, points)):
            return
        if line.is_closed:
            self.ink.areas.append(Area(box_around(points), fill))
        else:
            self.ink.strokes.append(Stroke(points, hint, self._order))

    def _write(
        self, element: Element, parent: Element | None, here: Transform, styles: _Styles, hint: str
    ) -> None:
        tooltip = _title(element) or (_title(parent) if parent is not None else "")
        size = number_of(styles.get("font-size"), TITLE_SIZE) * here.scale
        for place, text in _pieces(element):
            if text and _is_near(here(place)):
                words = Words(here(place), text, tooltip, size, hint, self._order)
                self.ink.words.append(words)


_FURTHEST: Final = 1e8


def _is_near(point: Point) -> bool:
    """Whether a point lies where a picture can reach; others, and what is no number, do not."""
    return abs(point[0]) < _FURTHEST and abs(point[1]) < _FURTHEST


def _lines_of(element: Element) -> Iterator[Line]:
    get = element.attributes.get
    if element.tag == "path":
        yield from read_path(get("d", ""))
    elif element.tag == "rect":
        x, y = number_of(get("x")), number_of(get("y"))
        width, height = number_of(get("width")), number_of(get("height"))
        if width > 0 and height > 0:
            yield Line(((x, y), (x + width, y), (x + width, y + height), (x, y + height)), True)
    elif element.tag == "line":
        ends = [number_of(get(name)) for name in ("x1", "y1", "x2", "y2")]
        yield Line(((ends[0], ends[1]), (ends[2], ends[3])), False)
    elif element.tag in ("polyline", "polygon"):
        numbers = numbers_in(get("points", ""))
        points = tuple(zip(numbers[::2], numbers[1::2], strict=False))
        if len(points) > 1:
            is_closed = element.tag == "polygon" or (len(points) > 2 and points[0] == points[-1])
            yield Line(points, is_closed)


def _pieces(element: Element) -> list[tuple[Point, str]]:
    """The lines of a text: a part with a height of its own begins a new one."""
    place = _place(element, (0.0, 0.0))
    pieces: list[tuple[Point, str]] = [(place, "")]
    is_placed = "y" in element.attributes
    for child in element.children:
        if isinstance(child, str):
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + child)
            continue
        if child.tag in ("title", "desc"):
            continue
        own = _place(child, pieces[-1][0])
        if not pieces[-1][1].strip() and not is_placed:
            pieces[-1] = (own, child.text)
            is_placed = "y" in child.attributes
        elif "y" in child.attributes and abs(own[1] - pieces[-1][0][1]) > 1:
            pieces.append((own, child.text))
        else:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + child.text)
    return [(place, " ".join(text.split())) for place, text in pieces]


def _place(element: Element, default: Point) -> Point:
    get = element.attributes.get
    return number_of(get("x"), default[0]), number_of(get("y"), default[1])


def _title(element: Element) -> str:
    for child in element.elements:
        if child.tag == "title":
            return "".join(piece for piece in child.children if isinstance(piece, str)).strip()
    return ""


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    for part in style.split(";"):
        name, colon, value = part.partition(":")
        if colon:
            yield name.strip(), value.strip()


def _rules(element: Element) -> Iterator[tuple[str, dict[str, str]]]:
    """The rules of style sheets within the picture that are for one class or one id."""
    if element.tag == "style":
        for name, body in _RULE.findall(element.text):
            yield name, dict(_declarations(body))
    for child in element.elements:
        yield from _rules(child)
