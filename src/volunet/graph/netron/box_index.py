"""Which of many boxes a point lies in, without asking each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from volunet.graph.netron.geometry import Box, Point

_CELL: Final = 64.0
_MOST_CELLS: Final = 400


class BoxIndex:
    """Boxes by the cells of a grid that they reach into.

    Args:
        boxes: The boxes.
    """

    def __init__(self, boxes: Sequence[Box]) -> None:
        self._boxes = boxes
        self._cells: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        self._large: list[int] = []
        for index, box in enumerate(boxes):
            columns = range(int(box.left // _CELL), int(box.right // _CELL) + 1)
            rows = range(int(box.top // _CELL), int(box.bottom // _CELL) + 1)
            if len(columns) * len(rows) > _MOST_CELLS:
                self._large.append(index)
                continue
            for column in columns:
                for row in rows:
                    self._cells[column, row].append(index)

    def at(self, point: Point, slack: float = 0.0) -> Iterator[int]:
        """The boxes that a point lies in, or is near, within some slack of at most a cell."""
        slack = min(slack, _CELL)
        seen: set[int] = set()
        x, y = point
        for column in range(int((x - slack) // _CELL), int((x + slack) // _CELL) + 1):
            for row in range(int((y - slack) // _CELL), int((y + slack) // _CELL) + 1):
                seen.update(self._cells.get((column, row), ()))
        for index in (*sorted(seen), *self._large):
            if self._boxes[index].holds_point(point, slack):
                yield index
