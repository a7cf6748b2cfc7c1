"""Reductions over axes: means, sums, largest and smallest."""

from __future__ import annotations

from volunet.errors import ShapeError
from volunet.graph.node import Node
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Role,
    Source,
    count_elements,
    positive_axis,
)
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor, Value


class Reduce(Operator):
    """``ReduceMean`` and its kin: size 1 on the reduced axes, or none of them.

    Args:
        function: PyTorch's function, with ``dim`` and ``keepdim``.
        axes_since: Opset from which the axes are an input.
        before: What is reduced, of the input ``{0}``.

    Source:
        https://onnx.ai/onnx/operators/onnx__ReduceMean.html
    """

    def __init__(self, function: str, axes_since: int = 18, before: str = "{0}") -> None:
        self.function = function
        self.axes_since = axes_since
        self.before = before

    def role_in(self, node: Node) -> Role:
        """A pooling, where it is over all spatial axes of feature maps."""
        rank = len(node.shape())
        return "pooling" if rank > 2 and set(self.axes(node)) >= set(range(2, rank)) else "other"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The other axes as they are; a product of sizes is that size."""
        shape, axes = node.shape(), self.axes(node)
        keep = node.integer("keepdims", 1)
        out = [1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes]
        values = node.values(0)
        if values is not None and node.op_type == "ReduceProd" and len(axes) == len(shape):
            total: Value = 1
            for value in values:
                total = value * total if not isinstance(total, int) else total * value
            return (node.output(tuple(out), values=(total,)),)
        return (node.output(tuple(out), is_data=node.input(0).is_data),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """All slices of a reduced axis."""
        if index > 0:
            return Read(None, Pointwise())
        axes = self.axes(node)
        keep = bool(node.integer("keepdims", 1))
        own = axis if keep else axis - sum(reduced < axis for reduced in axes)
        if axis in axes:
            return Read(own if keep else None, Whole(node.numbers()[axis]))
        return Read(own, Pointwise())

    def flops(self, node: Node) -> Flops:
        """One operation for each element of the input."""
        return Flops(others=count_elements(node.numbers()))

    def source(self, node: Node) -> Source | None:
        """``torch.mean``, of each element's ``before`` where there is one."""
        if not self.axes(node):
            return Source("{0}")
        keep = bool(node.integer("keepdims", 1))
        if node.op_type == "ReduceProd":  # of one axis at a time, the last one first
            call = self.before
            for axis in reversed(self.axes(node)):
                call = f"{self.function}({call}, dim={axis}, keepdim={keep})"
            return Source(call)
        call = f"{self.function}({self.before}, dim={self.axes(node)}, keepdim={keep})"
        return Source(f"torch.sqrt({call})" if node.op_type == "ReduceL2" else call)

    def axes(self, node: Node) -> tuple[int, ...]:
        """The reduced axes, from the front; all where none is named.

        Raises:
            ShapeError: They depend on the data.
        """
        rank = len(node.shape())
        if node.opset >= self.axes_since and node.has(1):
            named = node.sizes(1)
            if named is None or not all(isinstance(axis, int) for axis in named):
                raise ShapeError(
                    f"{node.op_type} '{node.name}'",
                    "axes that depend on the data",
                    "Axes are constants.",
                    "Export the model again; such a reduction is not supported.",
                )
            axes = tuple(axis for axis in named if isinstance(axis, int))
        else:
            axes = node.integers("axes") or ()
        if not axes and node.integer("noop_with_empty_axes", 0):
            return ()
        chosen = axes or tuple(range(rank))
        return tuple(sorted(positive_axis(node, axis, rank) for axis in chosen))
