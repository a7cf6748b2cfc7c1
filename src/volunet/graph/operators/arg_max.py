"""The place of the largest or smallest element on an axis: class indices."""

from __future__ import annotations

import onnx_ir as ir

from volunet.graph.node import Node
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Source,
    count_elements,
    positive_axis,
)
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


class ArgMax(Operator):
    """``ArgMax`` and ``ArgMin``: size 1 on the axis, or none of it.

    Args:
        function: PyTorch's function.

    Source:
        https://onnx.ai/onnx/operators/onnx__ArgMax.html
    """

    def __init__(self, function: str) -> None:
        self.function = function

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The other axes as they are, int64."""
        shape = node.shape()
        axis, keep = self._axis(node)
        out = (*shape[:axis], *((1,) if keep else ()), *shape[axis + 1 :])
        return (node.output(out, dtype=ir.DataType.INT64),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """All slices of its axis."""
        own, keep = self._axis(node)
        if axis == own:
            return Read(axis if keep else None, Whole(node.numbers()[axis]))
        return Read(axis if keep or axis < own else axis - 1, Pointwise())

    def flops(self, node: Node) -> Flops:
        """A comparison for each element of the input."""
        return Flops(others=count_elements(node.numbers()))

    def source(self, node: Node) -> Source | None:
        """``torch.argmax``."""
        axis, keep = self._axis(node)
        return Source(f"{self.function}({{0}}, dim={axis}, keepdim={keep})")

    def _axis(self, node: Node) -> tuple[int, bool]:
        axis = positive_axis(node, node.integer("axis", 0), len(node.shape()))
        return axis, bool(node.integer("keepdims", 1))
