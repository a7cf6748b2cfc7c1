"""Branches that a graph always takes: an `If` whose condition follows from the input's shape.

PyTorch's older exporter asks whether an axis has size 1 before it squeezes it. Where the answer is
the same for every size of the input, the branch's nodes take the place of the `If`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import onnx_ir as ir

from volunet.errors import ShapeError
from volunet.graph.network import infer_sizes

_log = logging.getLogger(__name__)


def take_known_branches(model: ir.Model, where: str) -> None:
    """Put the nodes of branches that are always taken in place of their `If`.

    An `If` whose condition is not known stays.

    Args:
        model: A model whose nodes are in order; changed in place.
        where: The file, for messages.
    """
    while conditional := [node for node in model.graph if _is_if(node)]:
        try:
            tensors = infer_sizes(model, where).tensors
        except ShapeError as error:  # without a size of the input nothing is known
            _log.debug("%s", error)
            return
        taken = 0
        for node in conditional:
            condition = node.inputs[0] if node.inputs else None
            known = tensors.get(condition.name or "") if condition is not None else None
            if known is None or known.values is None or len(known.values) != 1:
                continue
            name = "then_branch" if known.values[0] != 0 else "else_branch"
            branch = node.attributes.get(name)
            if branch is None or branch.type != ir.AttributeType.GRAPH:
                continue
            if len(branch.as_graph().outputs) == len(node.outputs):
                _take(model.graph, node, branch.as_graph())
                taken += 1
        if not taken:
            return


def _is_if(node: ir.Node) -> bool:
    return node.op_type == "If" and node.domain in ("", "ai.onnx")


def _take(graph: ir.Graph, node: ir.Node, branch: ir.Graph) -> None:
    """Put a branch in place of its `If`; the answers keep the names that they have outside."""
    inner, nodes, answers = list(branch.initializers.values()), list(branch), list(branch.outputs)
    prefix = node.name or node.outputs[0].name or "if"
    values = (*inner, *(value for member in nodes for value in member.outputs))
    _name_apart(values, {v.name for v in _values(graph, node)}, prefix)
    _name_apart(nodes, {member.name for member in graph}, prefix)
    branch.outputs.clear()
    branch.initializers.clear()
    for value in inner:
        graph.register_initializer(value)
    branch.remove(nodes)
    graph.insert_before(node, nodes)
    for index, (own, answer) in enumerate(zip(node.outputs, answers, strict=True)):
        if answer.producer() not in nodes or answers.count(answer) > 1:
            copy = ir.Node("", "Identity", [answer], num_outputs=1, name=f"{prefix}/{index}")
            graph.insert_before(node, copy)
            answer = copy.outputs[0]
        name, own.name = own.name, None
        answer.name = name
        answer.type, answer.shape = answer.type or own.type, answer.shape or own.shape
        own.replace_all_uses_with(answer, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _values(graph: ir.Graph, node: ir.Node) -> Iterator[ir.Value]:
    """The values of a graph, and of graphs within it but for those of one node."""
    yield from graph.inputs
    yield from graph.initializers.values()
    for member in graph:
        yield from member.outputs
        for attribute in member.attributes.values() if member is not node else ():
            if attribute.type == ir.AttributeType.GRAPH:
                yield from _values(attribute.as_graph(), node)


def _name_apart(named: Iterable[ir.Value | ir.Node], used: set[str | None], prefix: str) -> None:
    """Give values or nodes other names where theirs are used already."""
    for one in named:
        number, name = 1, one.name
        while name in used and name:
            name = f"{prefix}/{one.name}" + (f"_{number}" if number > 1 else "")
            number += 1
        one.name = name
        used.add(name)
