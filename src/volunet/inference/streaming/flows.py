"""How each tensor of a graph follows the streamed axis, and which nodes must wait for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from volunet.graph.operators import OPERATORS
from volunet.graph.operators.pool import pool_windows
from volunet.graph.spans import Interpolated, Mirrored, Pointwise, Span, TransposedWindow, Window
from volunet.inference.streaming.fixed import FixedGraph, Step

FIRST_SPATIAL = 2


@dataclass(frozen=True)
class Flow:
    """How a node runs along the axis.

    Attributes:
        is_whole: Whether it needs all of its inputs at once.
        axis: The axis of its outputs that follows; None where none does.
        spans: For each input that is read along the axis, how.
    """

    is_whole: bool
    axis: int | None
    spans: Mapping[int, Span]


@dataclass(frozen=True)
class Flows:
    """How a graph runs along an axis of its input.

    Attributes:
        axes: For each tensor of data the axis that follows; None where it has none.
        nodes: For each step of the graph its flow.
    """

    axes: Mapping[str, int | None]
    nodes: tuple[Flow, ...]


def follow(fixed: FixedGraph, axis: int) -> Flows:
    """Follow an axis of the input through a graph.

    Args:
        fixed: The graph, lowered along that axis.
        axis: 2 is the first spatial one.
    """
    axes: dict[str, int | None] = {fixed.source: axis}
    nodes = []
    for step in fixed.steps:
        flow = _streamed(fixed, step, axes) or _whole(fixed, step, axes)
        nodes.append(flow)
        axes.update(dict.fromkeys(step.outputs, flow.axis))
    return Flows(axes, tuple(nodes))


def _streamed(fixed: FixedGraph, step: Step, axes: dict[str, int | None]) -> Flow | None:
    """The flow of a node that runs slice by slice; None where it cannot."""
    rules = OPERATORS[step.rule.op_type]
    spans: dict[int, Span] = {}
    out_axes = set()
    for index, tensor in enumerate(step.rule.inputs):
        if tensor is None or (own := axes.get(tensor.name)) is None:
            continue
        read = rules.reads(step.rule, index, own)
        if fixed.shapes[tensor.name][own] == 1 and _widens(fixed, step, read.axis):
            return None  # one slice for all, which is there at once or not at all
        if read.axis is None or read.axis < FIRST_SPATIAL or not _is_local(step, read.span):
            return None
        spans[index] = read.span
        out_axes.add(read.axis)
    if len(out_axes) != 1 or len({len(fixed.shapes[name]) for name in step.outputs}) != 1:
        return None
    out_axis = out_axes.pop()
    if _ends_in_one(fixed, step, out_axis, axes):
        return None
    for index, tensor in enumerate(step.rule.inputs):
        if index in spans or tensor is None:
            continue
        own = _axis_of_constant(fixed, step, index, out_axis)
        if own is None and step.rule.op_type == "Concat":
            return None  # one slice is not repeated for all
        if own is not None:
            if tensor.name not in axes:
                return None  # a constant that differs along the axis
            axes[tensor.name] = own
            spans[index] = rules.reads(step.rule, index, own).span
    return Flow(is_whole=False, axis=out_axis, spans=spans)


def _ends_in_one(
    fixed: FixedGraph, step: Step, out_axis: int, axes: Mapping[str, int | None]
) -> bool:
    """Whether all slices become one, which others may then read for all of theirs."""
    if fixed.shapes[step.outputs[0]][out_axis] > 1:
        return False
    inputs = [t.name for t in step.rule.inputs if t is not None]
    own = [(name, axes[name]) for name in inputs if name in axes]
    return any(fixed.shapes[name][axis] > 1 for name, axis in own if axis is not None)


def _widens(fixed: FixedGraph, step: Step, out_axis: int | None) -> bool:
    return out_axis is not None and fixed.shapes[step.outputs[0]][out_axis] != 1


def _axis_of_constant(fixed: FixedGraph, step: Step, index: int, out_axis: int) -> int | None:
    """The axis along which an input that does not flow differs from slice to slice."""
    tensor = step.rule.inputs[index]
    shape = None if tensor is None else tensor.shape
    for own, size in enumerate(shape or ()):
        if size == 1:
            continue
        read = OPERATORS[step.rule.op_type].reads(step.rule, index, own)
        if read.axis == out_axis and isinstance(read.span, Pointwise):
            return own
    return None


def _whole(fixed: FixedGraph, step: Step, axes: Mapping[str, int | None]) -> Flow:
    """A node that runs once; its output is streamed on where it still has the axis."""
    shape = fixed.shapes[step.outputs[0]]
    for tensor in step.rule.inputs:
        own = None if tensor is None else axes.get(tensor.name)
        if tensor is None or own is None or len(step.outputs) > 1:
            continue
        if len(shape) == len(fixed.shapes[tensor.name]) and own < len(shape) and shape[own] > 1:
            return Flow(is_whole=True, axis=own, spans={})
    return Flow(is_whole=True, axis=None, spans={})


def _is_local(step: Step, span: Span) -> bool:
    """Whether an engine can run the node on a range of slices alone."""
    if isinstance(span, Pointwise):
        return True
    if isinstance(span, Interpolated):
        return span.interpolation != "cubic" and not span.antialias and not _has_ties(span)
    if isinstance(span, Window):
        if step.rule.op_type == "AveragePool":
            return _averages_alike(step)
        return step.rule.op_type in ("Conv", "MaxPool", "Pad", "Slice")
    return isinstance(span, TransposedWindow | Mirrored)


def _has_ties(span: Interpolated) -> bool:
    """Whether a place is so near to a tie of two neighbours that it is the engine that decides."""
    if span.interpolation != "nearest":
        return False
    needs = (span.need(z, z + 1) for z in range(span.out_size))
    return any(stop - start > 1 for start, stop in needs)


def _averages_alike(step: Step) -> bool:
    """Whether the windows at both ends are divided by as much as those in the middle."""
    windows = pool_windows(step.rule)
    if step.rule.integer("ceil_mode", 0):
        return False
    padded = any(w.begin != 0 or w.end != 0 for w in windows)
    return not padded or bool(step.rule.integer("count_include_pad", 0))


def is_pointwise(span: Span) -> bool:
    """Whether output slice z needs input slice z alone."""
    return isinstance(span, Pointwise) or (
        isinstance(span, Window) and (span.stride, span.reach, span.begin) == (1, 1, 0)
    )


def whole_steps(span: Span, size: int, out_size: int) -> int | None:
    """The stride of windows that lie side by side and within the input; None of all others."""
    if isinstance(span, Pointwise):
        return 1
    if isinstance(span, Window) and span.begin == 0 and span.stride == span.reach:
        return span.stride if out_size * span.stride <= size else None
    return None


def reads_apart(span: Span, size: int, out_size: int) -> bool:
    """Whether output slices depend on input slices side by side, none of them past the end."""
    if isinstance(span, TransposedWindow):
        apart = (span.kernel, span.dilation, span.begin) == (span.stride, 1, 0)
        return apart and out_size <= size * span.stride
    return whole_steps(span, size, out_size) is not None
