"""A matrix product, also of stacks of matrices."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.arithmetic import broadcast
from volunet.graph.operators.operator import Flops, Operator, Read, Role, Source, count_elements
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


class MatMul(Operator):
    """``MatMul``: (…, M, K) and (…, K, N) → (…, M, N); the leading axes broadcast.

    Source:
        https://onnx.ai/onnx/operators/onnx__MatMul.html
    """

    def role_in(self, node: Node) -> Role:
        """Fully connected, where the second matrix is a constant."""
        return "other" if node.input(1).is_data else "fully connected"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """An axis that a vector lacks is left out of the output too."""
        a, b = node.shape(0), node.shape(1)
        if not a or not b:
            raise node.fault("an input without axes")
        rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else ()
        node.require("==", a[-1], b[-2] if len(b) > 1 else b[0], "columns of A and rows of B")
        stacks = [shape for shape in (a[:-2], b[:-2]) if shape]
        lead = broadcast(node, stacks) if stacks else ()
        return (node.output((*lead, *rows, *columns)),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """Rows of A and columns of B follow the output's; all of the inner axis."""
        shape, out = node.numbers(index), node.outputs[0].shape or ()
        from_end = axis - len(shape)
        if len(shape) == 1 or from_end == (-1 if index == 0 else -2):
            return Read(None, Whole(shape[axis]))
        # The output lacks the axis that a vector on the other side would have had.
        lacking = len(node.shape(1 - index)) == 1 and not (index == 1 and from_end == -1)
        own = len(out) + from_end + int(lacking)
        repeated = shape[axis] == 1 and out[own] != 1
        return Read(own, Whole(1) if repeated else Pointwise())

    def flops(self, node: Node) -> Flops:
        """2·K for each element of the output."""
        return Flops(2 * count_elements(node.outputs[0].shape) * node.numbers(0)[-1])

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """Whichever is a constant."""
        return (0, 1)

    def source(self, node: Node) -> Source | None:
        """``nn.Linear`` without a bias where the second matrix is a constant, else ``@``."""
        weight = node.input(1)
        is_matrix = len(node.shape(1)) == 2 and all(isinstance(d, int) for d in node.shape(1))
        if weight.is_data or not is_matrix:
            return Source("{0} @ {1}")
        rows, columns = node.numbers(1)
        module = f"nn.Linear({rows}, {columns}, bias=False)"
        return Source("{module}({0})", module, {"weight": 1}, ("weight",))
