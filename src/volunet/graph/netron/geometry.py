"""Points, boxes and the transforms that groups of a picture put on what is in them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

Point: TypeAlias = tuple[float, float]

_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_CALL: Final = re.compile(r"(\w+)\s*\(([^)]*)\)")


@dataclass(frozen=True)
class Box:
    """An upright rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Its width."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Its height."""
        return self.bottom - self.top

    def holds(self, other: Box, slack: float = 1.0) -> bool:
        """Whether another box lies within it."""
        return (
            self.left - slack <= other.left
            and self.top - slack <= other.top
            and other.right <= self.right + slack
            and other.bottom <= self.bottom + slack
        )

    def holds_point(self, point: Point, slack: float = 0.0) -> bool:
        """Whether a point lies within it."""
        x, y = point
        return (
            self.left - slack <= x <= self.right + slack
            and self.top - slack <= y <= self.bottom + slack
        )

    def distance_to_border(self, point: Point) -> float:
        """How far a point lies from its border, on either side of it."""
        x, y = point
        dx = max(self.left - x, 0.0, x - self.right)
        dy = max(self.top - y, 0.0, y - self.bottom)
        if dx or dy:
            return math.hypot(dx, dy)
        return min(x - self.left, self.right - x, y - self.top, self.bottom - y)


def box_around(points: Iterable[Point]) -> Box:
    """The smallest box around points, of which there is at least one."""
    xs, ys = zip(*points, strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))


@dataclass(frozen=True)
class Transform:
    """x → a·x + c·y + e, y → b·x + d·y + f, as SVG's ``matrix(a b c d e f)``."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 1.0
    e: float = 0.0
    f: float = 0.0

    def __call__(self, point: Point) -> Point:
        """A point, moved."""
        x, y = point
        return self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f

    def __matmul__(self, inner: Transform) -> Transform:
        """This transform after an inner one."""
        x, y = self((inner.e, inner.f))
        return Transform(
            self.a * inner.a + self.c * inner.b,
            self.b * inner.a + self.d * inner.b,
            self.a * inner.c + self.c * inner.d,
            self.b * inner.c + self.d * inner.d,
            x,
            y,
        )

    @property
    def scale(self) -> float:
        """How much larger it makes things."""
        return math.sqrt(abs(self.a * self.d - self.b * self.c))


def numbers_in(text: str) -> list[float]:
    """The numbers in a text, whatever stands between them; those beyond float's range left out."""
    values = (float(match) for match in _NUMBER.findall(text))
    return [value for value in values if math.isfinite(value)]


def number_of(text: str | None, default: float = 0.0) -> float:
    """The first number of an attribute such as ``12px``."""
    numbers = numbers_in(text or "")
    return numbers[0] if numbers else default


def read_transform(text: str | None) -> Transform:
    """The value of an attribute ``transform``; parts that are no transform are left out."""
    whole = Transform()
    for name, arguments in _CALL.findall(text or ""):
        part = _single(name, numbers_in(arguments))
        if part is not None:
            whole = whole @ part
    return whole


def _single(name: str, n: list[float]) -> Transform | None:
    if name == "matrix" and len(n) == 6:
        return Transform(*n)
    if name == "translate" and n:
        return Transform(e=n[0], f=n[1] if len(n) > 1 else 0.0)
    if name == "scale" and n:
        return Transform(a=n[0], d=n[1] if len(n) > 1 else n[0])
    if name == "rotate" and n:
        angle = math.radians(n[0])
        turn = Transform(
            math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle), 0.0, 0.0
        )
        if len(n) < 3:
            return turn
        return Transform(e=n[1], f=n[2]) @ turn @ Transform(e=-n[1], f=-n[2])
    if name == "skewX" and n:
        return Transform(c=math.tan(math.radians(n[0])))
    if name == "skewY" and n:
        return Transform(b=math.tan(math.radians(n[0])))
    return None
