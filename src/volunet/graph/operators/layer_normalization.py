"""Layer norm."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.arithmetic import broadcast_read, unify
from volunet.graph.operators.epsilon import epsilon_argument
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Role,
    Source,
    element_flops,
    positive_axis,
)
from volunet.graph.sizes import Expression
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


class LayerNormalization(Operator):
    """``LayerNormalization`` over the axes from ``axis`` on; size on each axis: d.

    Source:
        https://onnx.ai/onnx/operators/onnx__LayerNormalization.html
    """

    role: Role = "normalisation"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The input's shape; mean and deviation, where asked for, of size 1 on the normed axes."""
        x = node.shape()
        first = positive_axis(node, node.integer("axis", -1), len(x))
        for index in range(1, len(node.inputs)):
            unify(node, x, index)
        statistics = (*x[:first], *(1 for _ in x[first:]))
        rest = range(1, len(node.output_names))
        return (node.output(x), *(node.output(statistics, index=i) for i in rest))

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """All slices of a normed axis."""
        if index > 0:
            return broadcast_read(node, index, axis)
        first = positive_axis(node, node.integer("axis", -1), len(node.shape()))
        return Read(axis, Pointwise() if axis < first else Whole(node.numbers()[axis]))

    def flops(self, node: Node) -> Flops:
        """As an instance norm."""
        return element_flops(node, 6)

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """Scale, and bias where there is one."""
        return (1, 2) if node.has(2) else (1,)

    def source(self, node: Node) -> Source | None:
        """``nn.LayerNorm``; a function, where scale and bias are not a number for each element.

        So too where they are no constants.
        """
        first = positive_axis(node, node.integer("axis", -1), len(node.shape()))
        learned = range(1, 3 if node.has(2) else 2)
        if not all(self._fits_module(node, index, first) for index in learned):
            given = ["{0}", f"{{0}}.shape[{first}:]", *epsilon_argument(node)]
            bias = " + {2}" if node.has(2) else ""
            return Source(f"F.layer_norm({', '.join(given)}) * {{1}}{bias}")
        arguments = [str(node.numbers(1)), *epsilon_argument(node)]
        if not node.has(2):
            arguments.append("bias=False")
        weights = {"weight": 1} | ({"bias": 2} if node.has(2) else {})
        return Source("{module}({0})", f"nn.LayerNorm({', '.join(arguments)})", weights)

    def _fits_module(self, node: Node, index: int, first: int) -> bool:
        """Whether an input is a constant of one number for each normed element."""
        normed, own = node.shape()[first:], node.shape(index)
        if node.input(index).is_data or len(own) != len(normed):
            return False
        # A formula is the number that it is compared with, unless that is 1, which is repeated.
        pairs = zip(normed, own, strict=True)
        return all(
            isinstance(b, int) and (a == b or (b != 1 and isinstance(a, Expression)))
            for a, b in pairs
        )
