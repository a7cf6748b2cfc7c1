"""The U as in a paper: feature maps as boxes, arrows for what makes one of another.

Source:
    Ronneberger, Fischer and Brox 2015, https://arxiv.org/abs/1505.04597, figure 1.
"""

from __future__ import annotations

from typing import Final

from volunet.graph.drawing.legend import MARGIN, draw_title
from volunet.graph.drawing.levels import Link
from volunet.graph.drawing.palette import slug
from volunet.graph.drawing.svg import Picture, Point
from volunet.graph.drawing.u_shape import UShape, counted, find_u
from volunet.graph.drawing.unet_layout import (
    CLEARANCE,
    LINE,
    TEXT,
    Spot,
    ULayout,
    end_lines,
    plan_u,
    widest,
)
from volunet.graph.drawing.unet_legend import draw_legend, kernel_of, role_of, usual_kernel
from volunet.graph.network import Network
from volunet.graph.sizes import shape_text
from volunet.graph.tensors import Shape

_SMALL: Final = 9.0


def draw_unet(network: Network, title: str, labels: Network | None) -> str:
    """Draw the U.

    Args:
        network: The graph, with numbers for sizes.
        title: Above the picture.
        labels: The same graph with formulas, which are written instead.

    Raises:
        ConfigError: The network is no U, or does not work at its size.
    """
    u = find_u(network)
    shapes: dict[str, Shape | None] = {n: t.shape for n, t in network.tensors.items()}
    if labels is not None:
        shapes |= {name: tensor.shape for name, tensor in labels.tensors.items() if tensor.shape}
    found = f"{counted(len(u.rows), 'level')}, {counted(len(u.skips), 'skip')}"
    picture = Picture(f"{title}: a U of {found}")
    notes = [f"{found}; channels above, size below"]
    if u.alike > 1:
        notes.append(f"one of {u.alike} networks alike, whose answers are joined")
    top = draw_title(picture, title, notes, 600)
    inputs = {tensor.name: end_lines("input", tensor, shapes) for tensor in network.inputs}
    left = MARGIN + max(map(widest, inputs.values())) + 12
    layout = plan_u(u, shapes, left, top)
    _draw_ways(picture, u, layout)
    for link in u.skips:
        _draw_skip(picture, link, layout)
    for link in u.shortcuts:
        _draw_shortcut(picture, link, layout)
    for spot in layout.spots.values():
        _draw_block(picture, spot, network)
        if spot.block.kind == "input":
            lines = inputs[spot.block.origin]
            _write(picture, lines, spot.x - 8, spot.middle, "end")
    for block, tensor in u.outputs:
        _draw_output(picture, layout.of(block), end_lines("output", tensor, shapes))
    for run in layout.runs:
        first = run.spots[0]
        y = first.y + first.height + layout.below[first.block.level] + 13
        for index, line in enumerate(run.lines):
            picture.text(run.x, y + index * LINE, line, TEXT, "soft")
    draw_legend(picture, u, picture.bottom + 24)
    return picture.finish(MARGIN)


def _draw_ways(picture: Picture, u: UShape, layout: ULayout) -> None:
    """The arrows that make one block of another."""
    usual = usual_kernel(u)
    for block in u.blocks:
        if block.source is None:
            continue
        start, end = layout.of(block.source), layout.of(block)
        name = slug(role_of(block))
        line, head = f"line-{name}", f"strong-{name}"
        if block.kind == "convolution":
            picture.arrow([(start.right, start.middle), (end.x, end.middle)], line, head)
            if kernel_of(block) != usual:
                x = (start.right + end.x - 6) / 2
                picture.text(x, end.middle - 6, kernel_of(block), _SMALL, head, "middle")
            continue
        if block.kind == "down":
            y_start, y_end = start.y + start.height, end.y - CLEARANCE + 2
            bend = y_end - 14
        else:
            y_start, y_end = start.y - CLEARANCE + 2, end.y + end.height
            bend = y_start - 10
        points: list[Point] = [(start.main, y_start), (end.main, y_end)]
        if start.x + 4 < end.main < start.right - 4:
            points[0] = (end.main, y_start)
        else:
            points[1:1] = [(start.main, bend), (end.main, bend)]
        picture.arrow(points, line, head, 2)


def _draw_skip(picture: Picture, link: Link, layout: ULayout) -> None:
    start, end = layout.of(link.source), layout.of(link.target)
    points: list[Point] = [(start.right, start.middle), (end.x, end.middle)]
    over = layout.over.get(id(link))
    if over is not None:
        x, y = start.right + 7, start.y - over
        into = end.x + end.parts[0][1] / 2
        points = [(start.right, start.y + 5), (x, start.y + 5), (x, y), (into, y)]
        points.append((into, end.y - CLEARANCE + 1))
    picture.arrow(points, "line-skip", "strong-skip", 2, "7 4")


def _draw_shortcut(picture: Picture, link: Link, layout: ULayout) -> None:
    start, end = layout.of(link.source), layout.of(link.target)
    bottom = start.y + start.height
    x0, x1 = start.right - 3, end.x + 3
    if start.x > end.x:
        x0, x1 = start.x + 3, end.right - 3
    points = [(x0, bottom), (x0, bottom + 10), (x1, bottom + 10), (x1, bottom + 1)]
    picture.arrow(points, "line-skip", "strong-skip", 1.2)


def _draw_block(picture: Picture, spot: Spot, network: Network) -> None:
    block = spot.block
    shape = network.tensors[block.tensor].shape
    tooltip = [f"{shape_text(shape or ())} {block.tensor}"]
    tooltip += [f"{node.op_type} {node.name}" for node in block.nodes[:20]]
    if len(block.nodes) > 20:
        tooltip.append(f"and {len(block.nodes) - 20} more")
    with picture.group(tooltip, "block"):
        for x, width, is_skip in spot.parts:
            role = "skip" if is_skip else slug(role_of(block))
            picture.box(x, spot.y, width, spot.height, f"box-{role}", 1.5)
        x = spot.x + spot.width / 2
        picture.text(x, spot.y - 5, spot.channels, TEXT, anchor="middle")


def _draw_output(picture: Picture, spot: Spot, lines: list[str]) -> None:
    picture.arrow([(spot.right, spot.middle), (spot.right + 30, spot.middle)], "line", "soft")
    _write(picture, lines, spot.right + 36, spot.middle, "start")


def _write(picture: Picture, lines: list[str], x: float, middle: float, anchor: str) -> None:
    y = middle - (len(lines) - 1) * LINE / 2 + 4
    for index, text in enumerate(lines):
        picture.text(x, y + index * LINE, text, TEXT, anchor=anchor, bold=index == 0)
