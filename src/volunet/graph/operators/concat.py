"""Joining along an axis."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator, Read, Role, Source, positive_axis
from volunet.graph.sizes import Size
from volunet.graph.spans import Placed, Pointwise
from volunet.graph.tensors import Tensor, Value


class Concat(Operator):
    """``Concat``: sizes add up on its axis and are equal on the others.

    Source:
        https://onnx.ai/onnx/operators/onnx__Concat.html
    """

    def role_in(self, node: Node) -> Role:
        """A skip, where it joins two or more tensors of data."""
        return "skip" if sum(t.is_data for t in node.inputs if t is not None) > 1 else "other"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """Inputs side by side on the axis; of lists of sizes, one list."""
        first = node.shape(0)
        axis = positive_axis(node, node.integer("axis", 1), len(first))
        total: Size = 0
        values: tuple[Value, ...] | None = ()
        for index, tensor in enumerate(node.inputs):
            if tensor is None:
                continue
            shape = node.shape(index)
            if len(shape) != len(first):
                raise node.fault(f"inputs of {len(first)} and {len(shape)} axes")
            for other, (a, b) in enumerate(zip(first, shape, strict=True)):
                if other != axis:
                    node.require(
                        "==", a, b,
                        f"axis {other} of '{node.input(0).name}' and of '{tensor.name}'",
                    )  # fmt: skip
            total = total + shape[axis]
            values = None if values is None or tensor.values is None else (*values, *tensor.values)
        shape = (*first[:axis], total, *first[axis + 1 :])
        return (node.output(shape, values=values if len(first) == 1 else None),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """On the axis, the slices behind those of the inputs before."""
        own = positive_axis(node, node.integer("axis", 1), len(node.shape(index)))
        if axis != own:
            return Read(axis, Pointwise())
        before = sum(node.numbers(i)[axis] for i in range(index))
        return Read(axis, Placed(before, node.numbers(index)[axis]))

    def source(self, node: Node) -> Source | None:
        """``torch.cat``."""
        inputs = ", ".join(f"{{{i}}}" for i in range(len(node.inputs)))
        return Source(f"torch.cat([{inputs}], dim={node.integer('axis', 1)})")
