"""Where the blocks of a U go: rows are levels, and each block stands right of what it follows.

What goes down or up stands above or below what it comes from, so that the U comes out by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from volunet.graph.drawing.levels import Block, Link
from volunet.graph.drawing.u_shape import UShape
from volunet.graph.drawing.words import clean, shape_lines, text_width
from volunet.graph.tensors import Shape, Tensor

TEXT: Final = 11.0
LINE: Final = 14.0
CLEARANCE: Final = 18.0
"""Above a block: its channels."""

Shapes = dict[str, Shape | None]
"""Size of each tensor as it is written."""

_STEP: Final = 40.0
_SKIP: Final = 70.0
_SIZE_WIDTH: Final = 112.0
_ARROW: Final = 40.0
_LANE: Final = 10.0
_BESIDE: Final = 7.0
"""From a vertical arrow to the size that is written beside it."""


@dataclass
class Spot:
    """Where a block is drawn, by its upper left corner, and its channels, written above it."""

    block: Block
    x: float
    width: float
    height: float
    channels: str
    y: float = 0.0

    @property
    def right(self) -> float:
        """The right edge."""
        return self.x + self.width

    @property
    def middle(self) -> float:
        """The middle of the height, where horizontal arrows meet it."""
        return self.y + self.height / 2

    @property
    def parts(self) -> list[tuple[float, float, bool]]:
        """Left edge and width of each part, and whether it came by a skip."""
        if not self.block.parts:
            return [(self.x, self.width, False)]
        total = sum(count for count, _ in self.block.parts) or 1
        places, x = [], self.x
        for count, is_skip in self.block.parts:
            width = self.width * count / total
            places.append((x, width, is_skip))
            x += width
        return places

    @property
    def main(self) -> float:
        """The middle of the part that did not come by a skip; vertical arrows meet it there."""
        x, width, _ = self.parts[-1]
        return x + width / 2


@dataclass
class Run:
    """Neighbours in a row that have one size, which is written below them once."""

    spots: list[Spot]
    lines: list[str]
    x: float

    @property
    def right(self) -> float:
        """Where what is written ends."""
        return self.x + widest(self.lines)


@dataclass
class ULayout:
    """Where everything of a U goes.

    Attributes:
        spots: Place of each block, by the block's identity.
        runs: Sizes below the rows.
        over: Height above its row at which a skip passes, for those that pass blocks.
        below: Room between a row and its sizes, for shortcuts.
    """

    spots: dict[int, Spot]
    runs: list[Run]
    over: dict[int, float] = field(default_factory=dict)
    below: list[float] = field(default_factory=list)

    def of(self, block: Block) -> Spot:
        """The place of a block."""
        return self.spots[id(block)]


def plan_u(u: UShape, shapes: Shapes, left: float, top: float) -> ULayout:
    """Place the blocks.

    Args:
        u: The U.
        shapes: Size of each tensor as it is written.
        left: x of the first block.
        top: y below which the picture begins.
    """
    across = _Across(u, shapes, left)
    layout = ULayout(across.spots, across.runs)
    y = top
    for level in range(len(u.rows)):
        row = [spot for spot in across.spots.values() if spot.block.level == level]
        lanes = _lanes([s for s in u.skips if s.target.level == level], row, layout)
        y += CLEARANCE + _LANE * lanes
        for spot in row:
            spot.y = y
        height = max(spot.height for spot in row)
        bent = any(link.target.level == level for link in u.shortcuts)
        layout.below.append(14.0 if bent else 0.0)
        lines = max((len(r.lines) for r in layout.runs if r.spots[0] in row), default=0)
        y += height + layout.below[-1] + lines * LINE + _ARROW
    return layout


class _Across:
    """Places the blocks from left to right, one by one in their order."""

    def __init__(self, u: UShape, shapes: Shapes, left: float) -> None:
        self.spots: dict[int, Spot] = {}
        self.runs: list[Run] = []
        self._u = u
        self._ends = [left] * len(u.rows)
        self._run: dict[int, Run] = {}
        self._last: dict[int, Spot] = {}
        self._joined = {id(link.target) for link in u.skips}
        self._leaving = {id(block.source) for block in u.blocks if block.kind == "down"}
        room: dict[int, float] = {}
        for block, tensor in u.outputs:
            wide = widest(end_lines("output", tensor, shapes)) + 50
            room[id(block)] = max(room.get(id(block), 0.0), wide)
        most = max(block.channels for block in u.blocks) or 1
        for block in u.blocks:
            shape = shapes.get(block.tensor)
            size = shape_lines(None if shape is None else shape[2:], _SIZE_WIDTH, TEXT)
            width = (15 + 23 * (block.channels / most) ** 0.5) * (1.25 if block.parts else 1.0)
            self._place(block, width, size)
            self._ends[block.level] += room.get(id(block), 0.0)

    def _place(self, block: Block, width: float, size: list[str]) -> None:
        level = block.level
        parts = [count for count, _ in block.parts] or [block.channels]
        text = " + ".join(map(str, parts))
        overhang = max(text_width(text, TEXT) - width, 0.0) / 2 + 3
        height = 24 + 106 * self._u.rows[level] / self._u.rows[0]
        spot = Spot(block, 0.0, width, height, text)
        source = None if block.source is None else self.spots[id(block.source)]
        least = self._ends[level] + overhang
        if id(block) in self._joined:
            least += _SKIP
        if source is not None and block.kind == "convolution":
            least = max(least, source.right + max(_STEP, overhang + 12))
        elif source is not None:
            low, high = sorted((level, source.block.level))
            least = max([least, source.main - spot.main, *self._ends[low + 1 : high]])
            self._ends[low + 1 : high] = [least + width + 8] * len(self._ends[low + 1 : high])
        run = self._run.get(level)
        is_new = run is None or run.lines != size or run.spots[-1].block.is_up != block.is_up
        beside = spot.main + _BESIDE if block.kind == "up" else 0.0
        if is_new and run is not None and block.kind != "input":
            least = max(least, run.right + 10 - beside)
        spot.x = least
        if block.kind == "up" and source is not None:
            self._straighten(source, spot)
        if block.kind != "input":
            if is_new or run is None:
                run = self._run[level] = Run([], size, least + beside)
                self.runs.append(run)
            run.spots.append(spot)
            if id(block) in self._leaving and run.right > spot.main - 5:
                run.x = spot.main + _BESIDE
        self.spots[id(block)] = self._last[level] = spot
        self._ends[level] = spot.right + overhang

    def _straighten(self, source: Spot, target: Spot) -> None:
        """Move the last block before a way up below that way, where nothing stands behind it."""
        level = source.block.level
        aside = target.main - source.main
        if source is self._last[level] and source.block.kind == "convolution" and aside > 0:
            source.x += aside
            self._ends[level] += aside
            if self._run[level].spots[0] is source:
                self._run[level].x += aside


def end_lines(word: str, tensor: Tensor, shapes: Shapes) -> list[str]:
    """What is written beside an input or an output."""
    names = [] if tensor.name == word else [clean(tensor.name, 20)]
    return [word, *names, *shape_lines(shapes.get(tensor.name), 130.0, TEXT)]


def widest(lines: list[str]) -> float:
    """Width of some lines."""
    return max((text_width(line, TEXT) for line in lines), default=0.0)


def _lanes(skips: list[Link], row: list[Spot], layout: ULayout) -> int:
    """Give each skip that would pass through a block a height above the row; how many there are."""
    lanes = 0
    for skip in skips:
        start, end = layout.of(skip.source), layout.of(skip.target)
        if any(start.right < spot.right and spot.x < end.x for spot in row if spot is not start):
            lanes += 1
            layout.over[id(skip)] = CLEARANCE + _LANE * lanes
    return lanes
