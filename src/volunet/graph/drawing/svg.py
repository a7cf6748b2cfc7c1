"""`Picture`: an SVG that is written element by element and escapes every text.

Nothing in it refers to anything outside: no script, no image, no font, no address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from xml.etree import ElementTree as Xml

from volunet.graph.drawing.palette import FONTS, style_sheet
from volunet.graph.drawing.words import clean, text_width

NAMESPACE: Final = "http://www.w3.org/2000/svg"

Point = tuple[float, float]

_LONGEST_TITLE: Final = 600

_BRACKETS: Final = frozenset("⌊⌋")
"""Signs that Arial and its like lack; then all is written in one font that has them."""

_HEAD: Final = (7.0, 3.4)
"""An arrow's head: length and half its width."""


class Picture:
    """An SVG under construction; x to the right, y down, in pixels.

    Args:
        title: What it shows, for those who cannot see it.
    """

    def __init__(self, title: str) -> None:
        self._root = Xml.Element("svg", {"xmlns": NAMESPACE, "font-family": FONTS, "role": "img"})
        Xml.SubElement(self._root, "title").text = clean(title, _LONGEST_TITLE)
        Xml.SubElement(self._root, "style").text = style_sheet()
        self._paper = Xml.SubElement(self._root, "rect", {"class": "paper"})
        self._at = self._root
        self._right = 0.0
        self._bottom = 0.0

    @contextmanager
    def group(self, tooltip: Sequence[str], name: str = "") -> Iterator[None]:
        """Elements that belong together, with a tooltip of some lines, each cleaned."""
        outer = self._at
        self._at = Xml.SubElement(outer, "g", {"class": name} if name else {})
        if tooltip:
            lines = (clean(line, _LONGEST_TITLE) for line in tooltip)
            Xml.SubElement(self._at, "title").text = "\n".join(lines)
        yield
        self._at = outer

    def box(
        self, x: float, y: float, width: float, height: float, style: str, radius: float = 4.0
    ) -> None:
        """A rectangle by its upper left corner."""
        numbers = {"x": x, "y": y, "width": width, "height": height, "rx": radius}
        self._add("rect", style, {name: _short(number) for name, number in numbers.items()})
        self._reach(x + width, y + height)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 11.0,
        style: str = "ink",
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """One line of text by its baseline's start, middle or end."""
        more = {"x": _short(x), "y": _short(y), "font-size": _short(size)}
        if anchor != "start":
            more["text-anchor"] = anchor
        if bold:
            more["font-weight"] = "700"
        self._add("text", style, more).text = text
        width = text_width(text, size, bold)
        self._reach(x + width * {"start": 1.0, "middle": 0.5, "end": 0.0}[anchor], y + size * 0.3)

    def line(self, path: str, style: str, width: float = 1.4, dashes: str = "") -> None:
        """A line along an SVG path."""
        more = {"d": path, "stroke-width": _short(width)}
        if dashes:
            more["stroke-dasharray"] = dashes
        self._add("path", style, more)

    def head(self, x: float, y: float, direction: Point, style: str) -> None:
        """An arrow's head whose tip is at a point; the direction is along an axis, of length 1."""
        length, half = _HEAD
        back = (x - direction[0] * length, y - direction[1] * length)
        side = (direction[1] * half, direction[0] * half)
        corners = [(x, y), (back[0] + side[0], back[1] + side[1])]
        corners.append((back[0] - side[0], back[1] - side[1]))
        points = " ".join(f"{_short(a)},{_short(b)}" for a, b in corners)
        self._add("polygon", style, {"points": points})

    def arrow(
        self,
        points: Sequence[Point],
        style: str,
        head_style: str,
        width: float = 1.4,
        dashes: str = "",
    ) -> None:
        """Straight lines from point to point, along the axes, with a head at the last."""
        (x0, y0), (x1, y1) = points[-2:]
        direction = (float((x1 > x0) - (x1 < x0)), float((y1 > y0) - (y1 < y0)))
        end = (x1 - direction[0] * (_HEAD[0] - 1), y1 - direction[1] * (_HEAD[0] - 1))
        self.line(polyline([*points[:-1], end]), style, width, dashes)
        self.head(x1, y1, direction, head_style)
        self._reach(max(x for x, _ in points), max(y for _, y in points))

    @property
    def bottom(self) -> float:
        """The lower end of what is drawn so far."""
        return self._bottom

    def finish(self, margin: float, least_width: float = 0.0) -> str:
        """The SVG's text; the picture is as large as what was drawn, and a margin."""
        width = max(self._right + margin, least_width)
        height = self._bottom + margin
        size = {"width": f"{width:.0f}", "height": f"{height:.0f}"}
        self._paper.attrib.update(size)
        self._root.attrib.update(size)
        self._root.set("viewBox", f"0 0 {width:.0f} {height:.0f}")
        texts = "".join(element.text or "" for element in self._root.iter("text"))
        if _BRACKETS & set(texts):
            self._root.set("font-family", f"'DejaVu Sans', {FONTS}")
        Xml.indent(self._root, " ")
        return Xml.tostring(self._root, encoding="unicode") + "\n"

    def _add(self, tag: str, style: str, attributes: dict[str, str]) -> Xml.Element:
        return Xml.SubElement(self._at, tag, {"class": style} | attributes)

    def _reach(self, x: float, y: float) -> None:
        self._right = max(self._right, x)
        self._bottom = max(self._bottom, y)


def polyline(points: Sequence[Point]) -> str:
    """An SVG path of straight lines."""
    return "M" + " L".join(f"{_short(x)} {_short(y)}" for x, y in points)


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
