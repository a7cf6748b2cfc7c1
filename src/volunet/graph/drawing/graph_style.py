"""The picture of every operator that works on data: boxes from top to bottom, as they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from volunet.errors import ShapeError
from volunet.graph.drawing.layers import Layout, plan_layers
from volunet.graph.drawing.legend import MARGIN, draw_roles, draw_title
from volunet.graph.drawing.palette import LIGHT, slug
from volunet.graph.drawing.svg import Picture
from volunet.graph.drawing.words import clean, shape_lines, text_width, wrap
from volunet.graph.inspecting.details import channels_text, details
from volunet.graph.network import Network
from volunet.graph.node import Node
from volunet.graph.operators import OPERATORS, Role
from volunet.graph.sizes import shape_text
from volunet.graph.tensors import Shape, Tensor

_HEAD: Final = 13.0
_TEXT: Final = 11.0
_LINE: Final = 15.0
_LINE_WIDTH: Final = 270.0
_INSET: Final = 14.0
_LEAST_WIDTH: Final = 190.0
_LEAST_PICTURE: Final = 420.0


@dataclass(frozen=True)
class Card:
    """What one box says.

    Attributes:
        role: Its colour and the word at its right.
        head: The operator, or that it is an input or an output.
        lines: Attributes.
        shapes: The size of what comes out.
        tooltip: Its full name and all else.
        fault: What is wrong with it, empty where nothing is.
    """

    role: Role
    head: str
    lines: list[str]
    shapes: list[str]
    tooltip: list[str]
    fault: str = ""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of its box."""
        head = text_width(self.head, _HEAD, bold=True) + 24 + text_width(self.role, 10)
        others = [*self.lines, *self.shapes, self.fault]
        width = max(head, *(text_width(line, _TEXT) for line in others)) + 2 * _INSET
        count = len(self.lines) + len(self.shapes) + bool(self.fault)
        return max(width, _LEAST_WIDTH), 26 + _LINE * count + 6


def draw_graph(network: Network, title: str, labels: Network | None) -> str:
    """Draw every operator that works on data.

    Args:
        network: The graph, with numbers for sizes.
        title: Above the picture.
        labels: The same graph with formulas, which are written instead.
    """
    shapes = _shapes(labels or network)
    written = {node.output_names: node for node in (labels or network).nodes}
    nodes = network.data_nodes
    cards = [_tensor_card("input", tensor, shapes) for tensor in network.inputs]
    cards += [_node_card(n, written.get(n.output_names, n), network, shapes) for n in nodes]
    cards += [_tensor_card("output", tensor, shapes) for tensor in network.outputs]
    edges = _edges(network, nodes)
    layout = plan_layers([card.size for card in cards], edges)
    picture = Picture(f"{title}: a graph of {len(nodes)} operators")
    roles = {card.role for card in cards}
    texts = [(r, "input, output" if r == "input" else r) for r in LIGHT if r in roles]
    width = max(layout.width + 2 * MARGIN, _LEAST_PICTURE)
    top = draw_title(picture, title, _notes(network, nodes), width)
    top = draw_roles(picture, top, width, texts) + 14
    left = max(MARGIN, (width - layout.width) / 2)
    _draw_edges(picture, layout, left, top)
    for card, (x, y) in zip(cards, layout.corners, strict=True):
        _draw_card(picture, card, x + left, y + top)
    return picture.finish(MARGIN, width)


def _notes(network: Network, nodes: Sequence[Node]) -> list[str]:
    hidden = len(network.nodes) - len(nodes)
    notes = [f"{len(nodes)} operators; sizes are batch×channels×space"]
    if hidden:
        what = "operators compute only" if hidden > 1 else "operator computes only"
        notes.append(f"{hidden} more {what} sizes or constants: not drawn")
    if network.failures:
        notes.append(f"does not work at this size: {network.failures[0]}")
    return notes


def _shapes(network: Network) -> dict[str, Shape | None]:
    return {name: tensor.shape for name, tensor in network.tensors.items()}


def _tensor_card(head: str, tensor: Tensor, shapes: dict[str, Shape | None]) -> Card:
    name = clean(tensor.name, 40)
    tooltip = [f"{head} {tensor.name}", f"{tensor.dtype.name.lower()}, {_full(tensor)}"]
    shape = shapes.get(tensor.name) or tensor.shape
    return Card("input", head, [name], shape_lines(shape, _LINE_WIDTH, _TEXT), tooltip)


def _full(tensor: Tensor) -> str:
    return "size unknown" if tensor.shape is None else shape_text(tensor.shape)


def _node_card(
    node: Node, written: Node, network: Network, shapes: dict[str, Shape | None]
) -> Card:
    parts = [f"{name} {value}" for name, value in details(written)]
    channels = channels_text(written)
    if channels is not None:
        parts.append(channels)
    lines = wrap([clean(part, 44) for part in parts], ", ", _LINE_WIDTH, _TEXT)
    texts: list[str] = []
    for tensor in node.outputs:
        shape = shapes.get(tensor.name) or tensor.shape
        for line in shape_lines(shape, _LINE_WIDTH, _TEXT):
            if tensor.is_data and line not in texts:
                texts.append(line)
    tooltip = [f"{node.op_type} {node.name}", *parts]
    tooltip += [f"gives {tensor.name}: {_full(tensor)}" for tensor in node.outputs]
    fault = ""
    failure = next((f for f in network.failures if f.node is node), None)
    if failure is not None:
        fault = "does not fit at this size"
        tooltip.append(failure.found)
    elif any(node is other for other in network.unsupported):
        fault = "an operator that volunet has no rule for"
    return Card(_role(node), clean(node.op_type, 40), lines, texts[:6], tooltip, fault)


def _role(node: Node) -> Role:
    operator = OPERATORS.get(node.op_type)
    if operator is None:
        return "other"
    try:
        return operator.role_in(node)
    except ShapeError:  # it depends on a size that is not known
        return operator.role


def _edges(network: Network, nodes: Sequence[Node]) -> list[tuple[int, int]]:
    """Pairs of cards, from what makes a tensor to what reads it; each pair once."""
    maker = {tensor.name: index for index, tensor in enumerate(network.inputs)}
    pairs: dict[tuple[int, int], None] = {}
    for index, node in enumerate(nodes, start=len(network.inputs)):
        for tensor in node.inputs:
            if tensor is not None and tensor.name in maker:
                pairs[maker[tensor.name], index] = None
        maker.update((tensor.name, index) for tensor in node.outputs)
    first = len(network.inputs) + len(nodes)
    for index, tensor in enumerate(network.outputs, start=first):
        if tensor.name in maker:
            pairs[maker[tensor.name], index] = None
    return list(pairs)


def _draw_edges(picture: Picture, layout: Layout, left: float, top: float) -> None:
    """Straight down along the columns; between two layers in a curve."""
    for route in layout.routes:
        points = [(x + left, y + top) for x, y in route]
        x_end, y_end = points[-1]
        path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
        for (x0, y0), (x1, y1) in pairwise(points):
            if y1 == y_end:
                y1 -= 6  # under the head
            if x0 == x1:
                path += f" V{y1:.1f}"
            else:
                half = (y0 + y1) / 2
                path += f" C{x0:.1f} {half:.1f} {x1:.1f} {half:.1f} {x1:.1f} {y1:.1f}"
        picture.line(path, "line")
        picture.head(x_end, y_end, (0.0, 1.0), "soft")


def _draw_card(picture: Picture, card: Card, x: float, y: float) -> None:
    width, height = card.size
    name = slug(card.role)
    with picture.group(card.tooltip, "node"):
        picture.box(x, y, width, height, f"box-{name}")
        picture.text(x + _INSET, y + 18, card.head, _HEAD, bold=True)
        if card.role != "input":  # which its head says
            picture.text(x + width - _INSET, y + 18, card.role, 10, f"strong-{name}", "end")
        y += 33
        for line in card.lines:
            picture.text(x + _INSET, y, line, _TEXT)
            y += _LINE
        if card.fault:
            picture.text(x + _INSET, y, card.fault, _TEXT, "fault", bold=True)
            y += _LINE
        for line in card.shapes:
            picture.text(x + _INSET, y, line, _TEXT, f"strong-{name}")
            y += _LINE
