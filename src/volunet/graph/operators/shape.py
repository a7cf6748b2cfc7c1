"""Sizes as values."""

from __future__ import annotations

import onnx_ir as ir

from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator, Source
from volunet.graph.sizes import product
from volunet.graph.tensors import Tensor


class ShapeOf(Operator):
    """``Shape``: the sizes from axis ``start`` to before axis ``end``, int64.

    Source:
        https://onnx.ai/onnx/operators/onnx__Shape.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """A list of sizes, whose values are known."""
        shape = node.shape()
        sizes = shape[node.integer("start", 0) : node.integer("end", len(shape))]
        return (node.output((len(sizes),), dtype=ir.DataType.INT64, values=sizes),)

    def source(self, node: Node) -> Source | None:
        """``Tensor.shape``."""
        start, end = node.integer("start", 0), node.integer("end", len(node.shape()))
        whole = (start, end) == (0, len(node.shape()))
        return Source("{0}.shape" if whole else f"{{0}}.shape[{start}:{end}]")


class SizeOf(Operator):
    """``Size``: the number of elements, int64.

    Source:
        https://onnx.ai/onnx/operators/onnx__Size.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """One number."""
        return (node.output((), dtype=ir.DataType.INT64, values=(product(node.shape()),)),)

    def source(self, node: Node) -> Source | None:
        """``Tensor.numel``."""
        return Source("{0}.numel()")
