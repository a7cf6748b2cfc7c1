"""The same elements as a matrix."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator, Read, Source
from volunet.graph.operators.reshape import kept_axis
from volunet.graph.sizes import product
from volunet.graph.tensors import Tensor


class Flatten(Operator):
    """``Flatten``: (d₀·…·dₐ₋₁, dₐ·…).

    Source:
        https://onnx.ai/onnx/operators/onnx__Flatten.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """Two axes."""
        shape = node.shape()
        axis = node.integer("axis", 1)
        if not -len(shape) <= axis <= len(shape):
            raise node.fault(f"axis {axis} of a tensor of {len(shape)} axes")
        axis += len(shape) if axis < 0 else 0
        return (node.output((product(shape[:axis]), product(shape[axis:]))),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """As a reshape."""
        return kept_axis(node, axis)

    def source(self, node: Node) -> Source | None:
        """``torch.flatten``; None where it joins axes in front, or adds one behind a vector."""
        plain = node.integer("axis", 1) == 1 and len(node.shape()) > 1
        return Source("torch.flatten({0}, 1)") if plain else None
