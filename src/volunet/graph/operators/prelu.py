"""The rectifier whose negative slope is learned."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.arithmetic import broadcast_read, unify
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Role,
    Source,
    element_flops,
)
from volunet.graph.sizes import product
from volunet.graph.tensors import Tensor


class PRelu(Operator):
    """``PRelu``: a slope for negative elements, learned; size on each axis: d.

    Source:
        https://onnx.ai/onnx/operators/onnx__PRelu.html
    """

    role: Role = "activation"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The input's shape."""
        x = node.shape()
        unify(node, x, 1)
        return (node.output(x),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """The same slice; of the slopes the only one, where one is for all."""
        return broadcast_read(node, index, axis)

    def flops(self, node: Node) -> Flops:
        """A comparison and a multiplication for each element."""
        return element_flops(node, 2)

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """The slopes."""
        return (1,)

    def source(self, node: Node) -> Source | None:
        """``nn.PReLU``, with the slopes as a plain list; ``torch.where`` where it has no such.

        Those are slopes that are not one a channel, or no constants.
        """
        slopes = node.shape(1)
        count = product(slopes)
        place = 1 - (len(node.shape()) - len(slopes))
        by_channel = count == 1 or (place >= 0 and slopes[place] == count)
        if not by_channel or not isinstance(count, int) or node.input(1).is_data:
            return Source("torch.where({0} < 0, {0} * {1}, {0})")
        return Source("{module}({0})", f"nn.PReLU({count})", {"weight": 1})
