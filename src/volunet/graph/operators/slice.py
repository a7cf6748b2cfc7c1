"""Slicing along axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from volunet.errors import ShapeError
from volunet.graph.bounds import lower_bound, maximum, minimum
from volunet.graph.node import Node
from volunet.graph.operators.operator import (
    Operator,
    Read,
    SizeWriter,
    Source,
    positive_axis,
)
from volunet.graph.sizes import Expression, Size, ceil_div
from volunet.graph.spans import Pointwise, Reversed, Span, Window
from volunet.graph.tensors import Tensor, Value, arranged


@dataclass(frozen=True)
class AxisSlice:
    """A slice of one axis, its ends within the axis.

    Attributes:
        start: First slice.
        stop: Behind the last slice, in the step's direction.
        step: From one slice to the next, not 0.
    """

    start: Size
    stop: Size
    step: int

    @property
    def size(self) -> Size:
        """max(0, ⌈(stop − start) / step⌉)."""
        if self.step > 0:
            return maximum(0, ceil_div(self.stop - self.start, self.step))
        return maximum(0, ceil_div(self.start - self.stop, -self.step))


class Slice(Operator):
    """``Slice``, whose bounds count from either end and stop at the axis' ends.

    Size on each axis: max(0, ⌈(stop − start) / step⌉).

    Source:
        https://onnx.ai/onnx/operators/onnx__Slice.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The axes that are named, the others whole; of a list of sizes, those sizes."""
        shape = list(node.shape())
        slices = axis_slices(node)
        for axis, part in slices.items():
            shape[axis] = part.size
        return (node.output(tuple(shape), values=_sliced(node, slices)),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """From the first slice on, by the step."""
        if index > 0:
            return Read(None, Pointwise())
        part = axis_slices(node).get(axis)
        return Read(axis, Pointwise() if part is None else _span(node, part))

    def source(self, node: Node) -> Source | None:
        """An index expression, of what is turned around beforehand where a step is below 0."""
        shape, slices, bounds = node.shape(), axis_slices(node), _bounds(node)
        flipped = tuple(axis for axis in sorted(slices) if slices[axis].step < 0)
        writer = SizeWriter()
        parts = []
        for axis in range(max(slices, default=-1) + 1):
            if axis not in slices:
                parts.append(":")
                continue
            part, size = slices[axis], shape[axis]
            start, stop = part.start, part.stop
            if part.step < 0:  # as the axis is flipped
                start, stop = size - 1 - start, size - 1 - stop
            if isinstance(size, Expression):
                # An index stops at the axis' ends by itself, as ONNX does.
                first, last, _ = bounds[axis]
                start = 0 if start == 0 else _index(first, size, part.step)
                stop = size if stop == size else _index(last, size, part.step)
            begin = "" if start == 0 else writer.text(start)
            end = "" if stop == size else writer.text(stop)
            step = "" if abs(part.step) == 1 else f":{abs(part.step)}"
            parts.append(f"{begin}:{end}{step}")
        while parts and parts[-1] == ":":
            parts.pop()
        call = f"torch.flip({{0}}, {flipped})" if flipped else "{0}"
        return Source(f"{call}[{', '.join(parts)}]" if parts else call, sizes=writer.formulas)


def axis_slices(node: Node) -> dict[int, AxisSlice]:
    """The slice of each axis that is sliced.

    Raises:
        ShapeError: A bound does not follow from the input's size.
    """
    shape = node.shape()
    return {axis: _within(shape[axis], *bounds) for axis, bounds in _bounds(node).items()}


def _bounds(node: Node) -> dict[int, tuple[Size, Size, int]]:
    """Start, end and step of each axis that is sliced, as they are given."""
    if node.opset < 10:
        starts: tuple[Size, ...] | None = node.integers("starts")
        stops: tuple[Size, ...] | None = node.integers("ends")
        axes: tuple[Size, ...] | None = node.integers("axes") or tuple(range(len(starts or ())))
        steps: tuple[Size, ...] | None = (1,) * len(starts or ())
    else:
        starts, stops = node.sizes(1), node.sizes(2)
        axes = node.sizes(3) if node.has(3) else tuple(range(len(starts or ())))
        steps = node.sizes(4) if node.has(4) else (1,) * len(starts or ())
    if starts is None or stops is None or axes is None or steps is None:
        raise ShapeError(
            f"Slice '{node.name}'",
            "bounds that depend on the data",
            "Bounds are constants, or follow from the input's size.",
            "Export the model again; such a slice is not supported.",
        )
    if len({len(starts), len(stops), len(axes), len(steps)}) > 1:
        raise node.fault(
            f"{len(starts)} starts, {len(stops)} ends, {len(axes)} axes and {len(steps)} steps"
        )
    bounds: dict[int, tuple[Size, Size, int]] = {}
    for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        if not isinstance(axis, int) or not isinstance(step, int) or step == 0:
            raise node.fault(f"axis {axis}, step {step}")
        bounds[positive_axis(node, axis, len(node.shape()))] = (start, stop, step)
    return bounds


def _index(bound: Size, size: Size, step: int) -> Size:
    """A bound in Python: below 0 where it is a constant less than the axis' size."""
    if step < 0:  # the same place, counted from the other end
        bound = -1 - bound if isinstance(bound, int) else size - 1 - bound
    less = bound - size
    return less if isinstance(less, int) and less < 0 else bound


def _sliced(node: Node, slices: dict[int, AxisSlice]) -> tuple[Value, ...] | None:
    """The known elements that are left, as exporters turn lists of paddings around."""
    array = arranged(node.input(0))
    if array is None:
        return None
    index = [slice(None)] * array.ndim
    for axis, part in slices.items():
        if not isinstance(part.start, int) or not isinstance(part.stop, int):
            return None
        index[axis] = slice(part.start, part.stop if part.stop >= 0 else None, part.step)
    return tuple(array[tuple(index)].ravel())


def _within(d: Size, start: Size, stop: Size, step: int) -> AxisSlice:
    low, high = (0, d) if step > 0 else (-1, d - 1)
    return AxisSlice(_bound(d, start, 0, high), _bound(d, stop, low, high), step)


def _bound(d: Size, bound: Size, low: Size, high: Size) -> Size:
    if isinstance(bound, int):
        from_end = bound < 0
        if bound >= _BEYOND:
            return high
        if bound <= -_BEYOND:
            return low
    else:
        from_end = lower_bound(-bound) > 0
    return minimum(maximum(bound + d if from_end else bound, low), high)


_BEYOND: Final = 2**31 - 1
"""Bounds from here on are exporters' words for "to the end"."""


def _span(node: Node, part: AxisSlice) -> Span:
    if not isinstance(part.start, int):
        raise node.fault(f"start {part.start} of an input whose size is a number")
    if part.step > 0:
        return Window(stride=part.step, begin=-part.start)
    return Reversed(part.start, -part.step)
