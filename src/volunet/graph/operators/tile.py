"""Repeating along axes."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator, Read, SizeWriter, Source
from volunet.graph.operators.wanted_shape import wanted_shape
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


class Tile(Operator):
    """``Tile``: d·repeats on each axis.

    Source:
        https://onnx.ai/onnx/operators/onnx__Tile.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """Every size by its own number."""
        shape, repeats = node.shape(0), wanted_shape(node, 1)
        if len(repeats) != len(shape):
            raise node.fault(f"{len(repeats)} repeats for {len(shape)} axes")
        pairs = zip(shape, repeats, strict=True)
        return (node.output(tuple(d * times for d, times in pairs)),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """All slices, where they are repeated."""
        if index > 0:
            return Read(None, Pointwise())
        size, out = node.numbers(0)[axis], (node.outputs[0].shape or ())[axis]
        return Read(axis, Pointwise() if size == out else Whole(size))

    def source(self, node: Node) -> Source | None:
        """``Tensor.repeat``."""
        writer = SizeWriter()
        call = f"{{0}}.repeat({writer.listed(wanted_shape(node, 1)) or '()'})"
        return Source(call, sizes=writer.formulas)
