"""Dropping axes of size 1."""

from __future__ import annotations

from volunet.errors import ShapeError
from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator, Read, Source, positive_axis
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


class Squeeze(Operator):
    """``Squeeze``: without the axes that are named, or without all of size 1.

    Source:
        https://onnx.ai/onnx/operators/onnx__Squeeze.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The other axes."""
        shape = node.shape()
        axes = self._axes(node)
        for axis in axes:
            node.require("==", shape[axis], 1, f"axis {axis}, which is squeezed, and 1")
        out = tuple(size for axis, size in enumerate(shape) if axis not in axes)
        return (node.output(out, values=node.values(0)),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """The same slice of the axis that follows it."""
        axes = self._axes(node)
        if index > 0 or axis in axes:
            return Read(None, Whole(1))
        return Read(axis - sum(other < axis for other in axes), Pointwise())

    def source(self, node: Node) -> Source | None:
        """``torch.squeeze``."""
        return Source(f"torch.squeeze({{0}}, {self._axes(node)})")

    def _axes(self, node: Node) -> tuple[int, ...]:
        shape = node.shape()
        named = named_axes(node)
        if named is None:
            return tuple(axis for axis, size in enumerate(shape) if size == 1)
        return tuple(positive_axis(node, axis, len(shape)) for axis in named)


def named_axes(node: Node) -> tuple[int, ...] | None:
    """Axes that are an attribute, from opset 13 an input; None where none is named.

    Raises:
        ShapeError: They depend on the data.
    """
    if not node.has(1):
        return node.integers("axes")
    sizes = node.sizes(1)
    if sizes is None or not all(isinstance(size, int) for size in sizes):
        raise ShapeError(
            f"{node.op_type} '{node.name}'",
            "axes that depend on the data",
            "Axes are constants.",
            "Export the model again; such a file is not supported.",
        )
    return tuple(size for size in sizes if isinstance(size, int))
