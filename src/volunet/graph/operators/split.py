"""Splitting along an axis."""

from __future__ import annotations

from typing import Any

from volunet.errors import ShapeError
from volunet.graph.node import Node
from volunet.graph.operators.operator import (
    Operator,
    Read,
    SizeWriter,
    Source,
    positive_axis,
)
from volunet.graph.sizes import Expression, Size, ceil_div, floor_div
from volunet.graph.spans import Pointwise, Window
from volunet.graph.tensors import Tensor


class Split(Operator):
    """``Split``: parts of the sizes asked for, or of ⌈d / parts⌉ with a smaller last one.

    Source:
        https://onnx.ai/onnx/operators/onnx__Split.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The parts, one an output."""
        shape = node.shape()
        axis, parts = self._parts(node)
        node.require(
            "==", sum(parts, start=0), shape[axis], f"the parts' sizes and that of axis {axis}"
        )
        outputs = []
        begin: Size = 0
        for index, part in enumerate(parts):
            values: Any = node.values(0)
            if values is not None and isinstance(begin, int) and isinstance(part, int):
                values = values[begin : begin + part] if len(shape) == 1 else None
            outputs.append(
                node.output((*shape[:axis], part, *shape[axis + 1 :]), index=index, values=values)
            )
            begin = begin + part
        return tuple(outputs)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """The same slice; on the split axis, what any of the parts reads.

        Slice z of a part is slice z behind the parts before it. One answer is for all outputs, so
        it reaches from the first part's slice to the last part's.
        """
        if index > 0:
            return Read(None, Pointwise())
        own, parts = self._parts(node)
        if axis != own:
            return Read(axis, Pointwise())
        before = sum(part for part in parts[:-1] if isinstance(part, int))
        return Read(axis, Window(reach=before + 1))

    def source(self, node: Node) -> Source | None:
        """``torch.split``, or ``torch.chunk`` for equal parts that are formulas."""
        axis, parts = self._parts(node)
        is_named = node.has(1) if node.opset >= 13 else node.integers("split") is not None
        if not is_named and isinstance(parts[0], Expression):
            return Source(f"torch.chunk({{0}}, {len(parts)}, dim={axis})")
        writer = SizeWriter()
        call = f"torch.split({{0}}, [{writer.listed(parts)}], dim={axis})"
        return Source(call, sizes=writer.formulas)

    def _parts(self, node: Node) -> tuple[int, tuple[Size, ...]]:
        shape = node.shape()
        axis = positive_axis(node, node.integer("axis", 0), len(shape))
        parts: tuple[Size, ...] | None
        if node.opset >= 13:
            parts = node.sizes(1)
            if node.has(1) and parts is None:
                raise ShapeError(
                    f"Split '{node.name}'",
                    "parts whose sizes depend on the data",
                    "Sizes are constants, or follow from the input's size.",
                    "Export the model again; such a split is not supported.",
                )
        else:
            parts = node.integers("split")
        count = len(node.output_names)
        if parts is None:
            each = (
                ceil_div(shape[axis], count) if node.opset >= 18 else floor_div(shape[axis], count)
            )
            parts = (*[each] * (count - 1), shape[axis] - each * (count - 1))
            if node.opset < 18:
                node.require(
                    "==", shape[axis], each * count, f"axis {axis} and {count} equal parts"
                )
        if len(parts) != count:
            raise node.fault(f"{len(parts)} parts for {count} outputs")
        return axis, parts
