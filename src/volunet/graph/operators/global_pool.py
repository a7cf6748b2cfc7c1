"""Pooling of whole volumes."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.operator import Flops, Operator, Read, Role, Source, count_elements
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


class GlobalPool(Operator):
    """``GlobalAveragePool`` and ``GlobalMaxPool``: size 1 on every spatial axis.

    Args:
        module: Name of PyTorch's adaptive module.

    Source:
        https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html
    """

    role: Role = "pooling"

    def __init__(self, module: str) -> None:
        self.module = module

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """(N, C, …) → (N, C, 1, …)."""
        x = node.shape()
        return (node.output((*x[:2], *(1 for _ in x[2:]))),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """All of a spatial axis."""
        return Read(axis, Pointwise() if axis < 2 else Whole(node.numbers()[axis]))

    def flops(self, node: Node) -> Flops:
        """One operation for each element of the input."""
        return Flops(others=count_elements(node.numbers()))

    def source(self, node: Node) -> Source | None:
        """``nn.AdaptiveAvgPool3d(1)``."""
        return Source("{module}({0})", f"nn.{self.module}{len(node.shape()) - 2}d(1)")
