"""Repeating an axis of size 1."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.arithmetic import broadcast, broadcast_read
from volunet.graph.operators.operator import Operator, Read, SizeWriter, Source
from volunet.graph.operators.wanted_shape import wanted_shape
from volunet.graph.sizes import Expression, product
from volunet.graph.spans import Pointwise
from volunet.graph.tensors import MOST_VALUES, Tensor


class Expand(Operator):
    """``Expand``: axes of size 1 repeated to a shape.

    Source:
        https://onnx.ai/onnx/operators/onnx__Expand.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The common shape of the input and the one asked for."""
        shape = broadcast(node, [node.shape(0), wanted_shape(node, 1)])
        values = node.values(0)
        count = product(shape)
        if values is not None:
            few = len(values) == 1 and isinstance(count, int) and count <= MOST_VALUES
            values = values * count if few and isinstance(count, int) else None
        is_data = node.input(0).is_data
        return (node.output(shape, values=values, is_data=is_data and values is None),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """The same slice; the only one of an axis of size 1."""
        return Read(None, Pointwise()) if index > 0 else broadcast_read(node, index, axis)

    def source(self, node: Node) -> Source | None:
        """``Tensor.expand`` to the shape that it has here; −1 for a formula that is kept."""
        out = node.outputs[0].shape or ()
        own = (None,) * (len(out) - len(node.shape(0))) + node.shape(0)
        writer = SizeWriter()
        sizes = [
            -1 if isinstance(size, Expression) and size == before else size
            for size, before in zip(out, own, strict=True)
        ]
        call = f"{{0}}.expand({writer.listed(sizes) or '()'})"
        return Source(call, sizes=writer.formulas)
