"""Whether a drawing is a graph of Netron's: operators, edges from node to node, no cycle."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from pathlib import Path

from volunet.errors import ReverseError
from volunet.graph.netron.drawing import Drawing
from volunet.graph.netron.operators_shown import operator_of
from volunet.graph.netron.schema import operator_names


def check_is_netron(drawing: Drawing, where: str | Path, bitmaps: int) -> None:
    """Check that a drawing has nodes of operators and edges that join them.

    Raises:
        ReverseError: It has not; or an edge ends nowhere.
    """
    if bitmaps and not drawing.nodes:
        raise ReverseError(
            where,
            "a bitmap within a SVG file, and no nodes",
            "A network is read from the lines and texts of the picture; a bitmap has none.",
            "Export from Netron as SVG (File > Export as SVG), not as PNG.",
        )
    titles = {operator_of(node, ())[0] for node in drawing.nodes}
    if not drawing.nodes or not titles & operator_names():
        raise not_netron(where, "no box with the name of an ONNX operator in its head")
    for loose in drawing.loose:
        name = drawing.nodes[loose.node].name
        x, y = loose.end
        came = f"an edge leaves '{name}' and ends" if loose.is_leaving else (
            f"an edge enters '{name}' and begins"
        )  # fmt: skip
        raise ReverseError(
            where,
            f"{came} nowhere, at ({x:.0f}, {y:.0f})",
            "Every edge runs from the border of one node to that of another.",
            "The picture was edited or cut; export it from Netron again.",
        )
    if not drawing.edges:
        raise not_netron(where, f"{len(drawing.nodes)} boxes, but no edge between them")


def not_netron(where: str | Path, found: str) -> ReverseError:
    """The error of a picture that is none of Netron's."""
    return ReverseError(
        where,
        f"not a graph that Netron drew: {found}",
        "A picture is a SVG file that Netron exported of an ONNX model (File > Export as SVG).",
        "Open the ONNX file in Netron and export the picture, or give the ONNX file itself.",
    )


def order_of(drawing: Drawing, where: str | Path) -> list[int]:
    """An order in which the nodes can run, the file's own wherever that is one.

    Raises:
        ReverseError: There is none.
    """
    after: defaultdict[int, list[int]] = defaultdict(list)
    waiting = Counter(edge.target for edge in drawing.edges)
    for edge in drawing.edges:
        after[edge.source].append(edge.target)
    free = [place for place in range(len(drawing.nodes)) if not waiting[place]]
    order: list[int] = []
    while free:
        place = heapq.heappop(free)
        order.append(place)
        for target in after[place]:
            waiting[target] -= 1
            if not waiting[target]:
                heapq.heappush(free, target)
    if len(order) < len(drawing.nodes):
        left = set(range(len(drawing.nodes))) - set(order)
        raise ReverseError(
            where,
            f"its edges form a cycle: {_cycle(drawing, left)}",
            "In a network every edge leads onwards, from the input to the output.",
            "The picture was edited; export it from Netron again.",
        )
    return order


def _cycle(drawing: Drawing, left: set[int]) -> str:
    before = {
        edge.target: edge.source
        for edge in drawing.edges
        if edge.source in left and edge.target in left
    }
    path: list[int] = []
    place = min(before)
    while place not in path:
        path.append(place)
        place = before[place]
    around = [*reversed(path[path.index(place) :])]
    return " → ".join(drawing.nodes[p].name for p in (*around, around[0]))
