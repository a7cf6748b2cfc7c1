"""Path data: the lines that a path consists of, each by the points that its segments join."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from volunet.graph.netron.geometry import Point

_TOKEN: Final = re.compile(r"([MmLlHhVvCcSsQqTtAaZz])|([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_COUNTS: Final = {"m": 2, "l": 2, "h": 1, "v": 1, "c": 6, "s": 4, "q": 4, "t": 2, "a": 7, "z": 0}


@dataclass(frozen=True)
class Line:
    """One line of a path, from where the pen is put down to where it is lifted.

    Attributes:
        points: The points between its segments; curves lie near them in a picture of Netron's.
        is_closed: Whether it ends where it began.
    """

    points: tuple[Point, ...]
    is_closed: bool


def read_path(data: str) -> list[Line]:
    """The lines of path data, up to its first fault, as SVG wants it.

    Example:
        >>> [line.points for line in read_path("M1,2h3v4H1z")]
        [((1.0, 2.0), (4.0, 2.0), (4.0, 6.0), (1.0, 6.0), (1.0, 2.0))]
    """
    lines: list[Line] = []
    points: list[Point] = []
    here = start = (0.0, 0.0)

    def lift(*, is_closed: bool = False) -> None:
        if len(points) > 1:
            ends_meet = math.dist(points[0], points[-1]) < 0.01 and len(points) > 2
            lines.append(Line(tuple(points), is_closed or ends_meet))
        points.clear()

    for command, numbers in _commands(data):
        kind, is_relative = command.lower(), command.islower()
        if kind == "z":
            if points:
                points.append(start)
            lift(is_closed=True)
            here = start
            continue
        x, y = here if is_relative else (0.0, 0.0)
        if kind == "h":
            here = (x + numbers[0], here[1])
        elif kind == "v":
            here = (here[0], y + numbers[0])
        else:
            here = (x + numbers[-2], y + numbers[-1])
        if not all(map(math.isfinite, here)):
            break
        if kind == "m":
            lift()
            start = here
        elif not points:
            points.append(start)
        points.append(here)
    lift()
    return lines


def _commands(data: str) -> list[tuple[str, list[float]]]:
    """Every command with its numbers, repeated ones written out."""
    found: list[tuple[str, list[float]]] = []
    position, command, first = 0, "", True
    while position < len(data):
        match = _TOKEN.match(data, position)
        if match is None:
            if data[position] not in " \t\r\n,":
                break
            position += 1
            continue
        if match[1]:
            command, first, position = match[1], True, match.end()
            if command in "Zz":
                found.append((command, []))
            continue
        if not command or command in "Zz":
            break
        numbers, position = _numbers(data, position, command)
        if numbers is None:
            break
        if command in "Mm" and not first:  # further points of a move are lines
            found.append(("l" if command == "m" else "L", numbers))
        else:
            found.append((command, numbers))
        first = False
    return found


def _numbers(data: str, position: int, command: str) -> tuple[list[float] | None, int]:
    """The numbers of one command, or None where they end before it is complete."""
    numbers: list[float] = []
    is_arc = command in "Aa"
    while len(numbers) < _COUNTS[command.lower()]:
        while position < len(data) and data[position] in " \t\r\n,":
            position += 1
        if is_arc and len(numbers) in (3, 4):  # flags: nothing need stand between them
            if data[position : position + 1] not in ("0", "1"):
                return None, position
            numbers.append(float(data[position]))
            position += 1
            continue
        match = _TOKEN.match(data, position)
        if match is None or match[1]:
            return None, position
        numbers.append(float(match[2]))
        position = match.end()
    return numbers, position
