"""The graph of a drawing: which operators there are, what is written in them, who reads whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from volunet.errors import ReverseError
from volunet.graph.netron.drawing import Drawing, DrawnEdge, DrawnNode
from volunet.graph.netron.labels import nearest_edges
from volunet.graph.netron.lines import Dimension, ShownLine, read_line, read_shape
from volunet.graph.netron.operators_shown import is_pale, operator_of
from volunet.graph.netron.schema import OPSETS, definition_of, operator_names
from volunet.graph.netron.soundness import check_is_netron, not_netron, order_of


@dataclass
class SketchedNode:
    """An operator as far as it is shown.

    Attributes:
        op_type: The operator.
        name: Its name, shown or made up.
        lines: What is written in it.
        inputs: Names of the values that enter it by edges, in the order of their producers.
        outputs: Names of the values that leave it by edges.
        told_by: How its operator was told: ``shown``, or why it was inferred.
    """

    op_type: str
    name: str
    lines: list[ShownLine]
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    told_by: str = "shown"


@dataclass
class Sketch:
    """A graph as far as it is shown.

    Attributes:
        where: The file, for messages.
        inputs: Names of the graph's inputs.
        outputs: Names of the values that are the graph's outputs.
        output_names: What the picture calls them.
        nodes: The operators, in an order in which they can run.
        shapes: Shapes of values where they are shown.
        dtypes: Netron's names of element types of inputs, where they are shown.
        node_names_shown: Whether nodes have names of their own.
    """

    where: str
    inputs: list[str]
    outputs: list[str]
    output_names: list[str]
    nodes: list[SketchedNode]
    shapes: dict[str, tuple[Dimension, ...]]
    dtypes: dict[str, str]
    node_names_shown: bool


def read_sketch(drawing: Drawing, where: str | Path, bitmaps: int) -> Sketch:
    """Read a drawing as a graph.

    Raises:
        ReverseError: It is no drawing of Netron's, an edge ends nowhere, its nodes form a cycle, or
            nothing tells a node's operator.
    """
    check_is_netron(drawing, where, bitmaps)
    entering: defaultdict[int, list[DrawnEdge]] = defaultdict(list)
    leaving: defaultdict[int, list[DrawnEdge]] = defaultdict(list)
    for edge in drawing.edges:
        entering[edge.target].append(edge)
        leaving[edge.source].append(edge)
    order = order_of(drawing, where)
    lines = [[read_line(*line) for line in node.lines] for node in drawing.nodes]
    shown = [[line for line in own if line is not None] for own in lines]
    names = _Names()
    sketch = Sketch(str(where), [], [], [], [], {}, {}, False)
    value_of: dict[int, str] = {}
    for place in order:
        node = drawing.nodes[place]
        if not entering[place] and _is_input(node, shown[place]):
            name = names.free(node.title.text or "input")
            sketch.inputs.append(name)
            dtype = node.title.tooltip.partition("[")[0]
            sketch.dtypes[name] = dtype if dtype.isalnum() else ""
            _note_shape(sketch, name, node.title.tooltip)
            for edge in leaving[place]:
                value_of[id(edge)] = name
            continue
        if not leaving[place] and _is_output(node, shown[place]):
            for edge in entering[place]:
                value = value_of[id(edge)]
                sketch.outputs.append(value)
                sketch.output_names.append(node.title.text)
                _note_shape(sketch, value, node.title.tooltip)
            continue
        sketched = _node(node, shown[place], names, sketch, where)
        # The order of the values in the file is the order of the edges in it.
        sketched.inputs = [value_of[id(edge)] for edge in entering[place]]
        _name_outputs(sketched, leaving[place], value_of, names)
        sketch.nodes.append(sketched)
    for label, edge in _labelled(drawing):
        _note_shape(sketch, value_of[id(edge)], label)
    if not sketch.inputs or not sketch.outputs or not sketch.nodes:
        raise not_netron(where, "no graph with an input, an output and an operator between them")
    return sketch


def _is_input(node: DrawnNode, lines: Sequence[ShownLine]) -> bool:
    if lines or is_pale(node) is False:
        return False
    return is_pale(node) is True or node.title.text not in operator_names()


def _is_output(node: DrawnNode, lines: Sequence[ShownLine]) -> bool:
    return _is_input(node, lines)


def _node(
    node: DrawnNode,
    lines: list[ShownLine],
    names: _Names,
    sketch: Sketch,
    where: str | Path,
) -> SketchedNode:
    op_type, told_by = operator_of(node, lines)
    if not op_type:
        op_type = node.title.text.strip("[]")
        if not op_type or not op_type.replace("_", "").isalnum():
            raise ReverseError(
                where,
                f"nothing tells the operator of node '{node.name}'",
                "A node shows its operator, or a name that ends with it.",
                "In Netron choose View > Hide Names, and export the picture again.",
            )
        told_by = "shown"
    name = _own_name(node, op_type)
    sketch.node_names_shown = sketch.node_names_shown or bool(name)
    return SketchedNode(op_type, names.free(name or op_type), lines, told_by=told_by)


def _own_name(node: DrawnNode, op_type: str) -> str:
    """The name of a node: in its id, its tooltip or its title; empty where it has none."""
    if node.title.hint.startswith("node-name-"):
        return node.title.hint.removeprefix("node-name-")
    for text in (node.title.tooltip, node.title.text):
        if text and text.strip("[]") != op_type and not text.startswith("["):
            return text
    return ""


def _name_outputs(
    node: SketchedNode, edges: Sequence[DrawnEdge], value_of: dict[int, str], names: _Names
) -> None:
    """Name the values that leave a node: those of one id are one, of a node of one output all."""
    known: dict[str, str] = {}
    definitions = (definition_of(node.op_type, opset) for opset in OPSETS)
    definition = next((d for d in definitions if d is not None), None)
    is_single = definition is None or definition.most_outputs == 1
    for edge in edges:
        hint = edge.hint.removeprefix("edge-") if edge.hint.startswith("edge-") else ""
        key = hint or ("" if is_single else str(id(edge)))
        if key not in known:
            known[key] = names.free(hint or f"{node.name}_output_{len(known)}")
            node.outputs.append(known[key])
        value_of[id(edge)] = known[key]
    if not edges:
        node.outputs.append(names.free(f"{node.name}_output_0"))


def _labelled(drawing: Drawing) -> list[tuple[str, DrawnEdge]]:
    """What is written beside edges: by Netron's ids, else to the nearest edge."""
    by_hint = {edge.hint: edge for edge in drawing.edges if edge.hint}
    found: list[tuple[str, DrawnEdge]] = []
    rest = []
    for label in drawing.labels:
        edge = by_hint.get(label.hint.removeprefix("edge-label-"))
        if edge is not None and label.hint:
            found.append((label.text, edge))
        else:
            rest.append(label)
    return [*found, *nearest_edges(rest, drawing)]


def _note_shape(sketch: Sketch, value: str, text: str) -> None:
    """Keep a shape that is written for a value, the first that says most."""
    inner = text.partition("[")[2].rstrip("]") if "[" in text else text
    if "×" not in inner and "," not in inner:
        return
    shape = read_shape(inner)
    known = sketch.shapes.get(value)
    if shape and (known is None or _numbers(shape) > _numbers(known)):
        sketch.shapes[value] = shape


def _numbers(shape: tuple[Dimension, ...]) -> int:
    return sum(isinstance(size, int) for size in shape)


class _Names:
    """Names that are not taken yet; those of a file are kept short and free of control signs."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, name: str) -> str:
        plain = "".join(sign for sign in name if sign.isprintable())[:200] or "value"
        free, count = plain, 0
        while free in self._taken:
            count += 1
            free = f"{plain}_{count}"
        self._taken.add(free)
        return free
