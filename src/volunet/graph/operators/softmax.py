"""Softmax and its kin."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Role,
    Source,
    element_flops,
    positive_axis,
)
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


class Softmax(Operator):
    """``Softmax``, ``LogSoftmax`` and ``Hardmax``; size on each axis: d.

    Before opset 13 all axes from ``axis`` on are one.

    Args:
        function: PyTorch's function, empty for a hardmax.

    Source:
        https://onnx.ai/onnx/operators/onnx__Softmax.html
    """

    role: Role = "activation"

    def __init__(self, function: str) -> None:
        self.function = function

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The input's shape."""
        self._axes(node)
        return (node.output(node.shape()),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """All slices of its own axis."""
        return Read(axis, Whole(node.numbers()[axis]) if axis in self._axes(node) else Pointwise())

    def flops(self, node: Node) -> Flops:
        """Largest, difference, power, sum and quotient."""
        return element_flops(node, 5)

    def source(self, node: Node) -> Source | None:
        """``F.softmax``, of several axes as one where there are."""
        axes = self._axes(node)
        given = "{0}" if len(axes) == 1 else f"{{0}}.flatten({axes[0]})"
        call = f"{self.function}({given}, dim={axes[0]})"
        if not self.function:  # 1 at the place of the largest
            places = f"torch.argmax({given}, dim={axes[0]}, keepdim=True)"
            call = f"torch.zeros_like({given}).scatter({axes[0]}, {places}, 1)"
        return Source(call if len(axes) == 1 else f"{call}.reshape({{0}}.shape)")

    def _axes(self, node: Node) -> range:
        rank = len(node.shape())
        axis = positive_axis(node, node.integer("axis", -1 if node.opset >= 13 else 1), rank)
        return range(axis, axis + 1 if node.opset >= 13 else rank)
