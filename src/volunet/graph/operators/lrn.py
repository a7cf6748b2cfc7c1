"""Local response normalisation, as AlexNet and GoogLeNet have it."""

from __future__ import annotations

from typing import Final

from volunet.graph.node import Node
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Role,
    Source,
    element_flops,
)
from volunet.graph.spans import Pointwise, Window
from volunet.graph.tensors import Tensor


class LocalResponseNormalization(Operator):
    """``LRN``: divides by the squares of neighbouring channels; size on each axis: d.

    Source:
        https://onnx.ai/onnx/operators/onnx__LRN.html
    """

    role: Role = "normalisation"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The input's shape."""
        return (node.output(node.shape()),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """A window over the channels."""
        size = node.integer("size", 1)
        window = Window(reach=size, begin=(size - 1) // 2)
        return Read(axis, window if axis == 1 else Pointwise())

    def flops(self, node: Node) -> Flops:
        """A square and an addition for each neighbour, then a power and a division."""
        return element_flops(node, 2 * node.integer("size", 1) + 3)

    def source(self, node: Node) -> Source | None:
        """``nn.LocalResponseNorm``; None where PyTorch's window is another, for an even size."""
        if node.integer("size", 1) % 2 == 0:
            return None
        numbers = (f"{k}={node.real(o, d):.7g}" for k, o, d in _LRN)
        return Source(
            "{module}({0})",
            f"nn.LocalResponseNorm({node.integer('size', 1)}, {', '.join(numbers)})",
        )


_LRN: Final = (("alpha", "alpha", 1e-4), ("beta", "beta", 0.75), ("k", "bias", 1.0))
