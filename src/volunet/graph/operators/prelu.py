"""The rectifier whose negative slope is learned."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Role,
    Source,
    element_flops,
)
from volunet.graph.tensors import Tensor


class PRelu(Operator):
    """``PRelu``: a slope for negative elements, learned; size on each axis: d.

    Source:
        https://onnx.ai/onnx/operators/onnx__PRelu.html
    """

    role: Role = "activation"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The input's shape."""
        return (node.output(node.shape()),)

    def flops(self, node: Node) -> Flops:
        """A comparison and a multiplication for each element."""
        return element_flops(node, 2)

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """The slopes."""
        return (1,)

    def source(self, node: Node) -> Source | None:
        """``F.prelu``, with the slopes as a plain list."""
        count = 1
        for size in node.numbers(1):
            count *= size
        return Source("{module}({0})", f"nn.PReLU({count})", {"weight": 1})
