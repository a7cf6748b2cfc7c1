"""Another order of the axes."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator, Read, Source
from volunet.graph.spans import Pointwise
from volunet.graph.tensors import Tensor, arranged


class Transpose(Operator):
    """``Transpose``: axis i of the output is axis perm[i] of the input; reversed by default.

    Source:
        https://onnx.ai/onnx/operators/onnx__Transpose.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The sizes in the new order."""
        shape, axes = node.shape(), order(node)
        array = arranged(node.input(0))
        values = None if array is None else tuple(array.transpose(axes).ravel())
        return (node.output(tuple(shape[axis] for axis in axes), values=values),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """The same slice of the axis that it became."""
        return Read(order(node).index(axis), Pointwise())

    def source(self, node: Node) -> Source | None:
        """``Tensor.permute``."""
        return Source(f"{{0}}.permute({', '.join(map(str, order(node))) or '()'})")


def order(node: Node) -> tuple[int, ...]:
    """The input's axes in the output's order.

    Raises:
        ShapeError: It is no order of all axes.
    """
    rank = len(node.shape())
    perm = node.integers("perm") or tuple(reversed(range(rank)))
    if sorted(perm) != list(range(rank)):
        raise node.fault(f"perm {perm} of {rank} axes")
    return perm
