"""The same elements as a matrix."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator, Read, Source
from volunet.graph.operators.reshape import kept_axis, regrouping
from volunet.graph.sizes import product
from volunet.graph.tensors import Tensor


class Flatten(Operator):
    """``Flatten``: (d₀·…·dₐ₋₁, dₐ·…).

    Source:
        https://onnx.ai/onnx/operators/onnx__Flatten.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """Two axes."""
        shape, axis = node.shape(), self._axis(node)
        return (node.output((product(shape[:axis]), product(shape[axis:]))),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """As a reshape."""
        return kept_axis(node, axis)

    def source(self, node: Node) -> Source | None:
        """``torch.flatten``; a reshape where it joins axes at both ends, or adds one."""
        shape, axis = node.shape(), self._axis(node)
        if axis == 1 and len(shape) > 1:
            return Source("torch.flatten({0}, 1)")
        if axis in (0, len(shape)):
            return Source(f"{{0}}.reshape({'1, -1' if axis == 0 else '-1, 1'})")
        return regrouping(shape, (product(shape[:axis]), product(shape[axis:])))

    def _axis(self, node: Node) -> int:
        """The first axis of the second group, from the front."""
        rank, axis = len(node.shape()), node.integer("axis", 1)
        if not -rank <= axis <= rank:
            raise node.fault(f"axis {axis} of a tensor of {rank} axes")
        return axis % rank if axis < 0 else axis
