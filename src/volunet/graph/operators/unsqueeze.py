"""Adding axes of size 1."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator, Read, Source, positive_axis
from volunet.graph.operators.squeeze import named_axes
from volunet.graph.sizes import Size
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


class Unsqueeze(Operator):
    """``Unsqueeze``: with new axes of size 1 at the places that are named.

    Source:
        https://onnx.ai/onnx/operators/onnx__Unsqueeze.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The input's axes with new ones between."""
        sizes = iter(node.shape())
        new = self._axes(node)
        rank = len(node.shape()) + len(new)
        out: list[Size] = [1 if axis in new else next(sizes) for axis in range(rank)]
        return (node.output(tuple(out), values=node.values(0)),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """The same slice of the axis that follows it."""
        if index > 0:
            return Read(None, Whole(1))
        new = self._axes(node)
        rank = len(node.shape()) + len(new)
        kept = [place for place in range(rank) if place not in new]
        return Read(kept[axis], Pointwise())

    def source(self, node: Node) -> Source | None:
        """``torch.unsqueeze``, once for each axis."""
        call = "{0}"
        for axis in sorted(self._axes(node)):
            call = f"torch.unsqueeze({call}, {axis})"
        return Source(call)

    def _axes(self, node: Node) -> tuple[int, ...]:
        named = named_axes(node)
        if named is None:
            raise node.fault("no axes")
        rank = len(node.shape()) + len(named)
        axes = tuple(positive_axis(node, axis, rank) for axis in named)
        if len(set(axes)) < len(axes):
            raise node.fault(f"axes {named} name one twice")
        return axes
