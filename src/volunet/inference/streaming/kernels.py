"""`Kernel`: the model of one call of an engine, a group on a fixed number of slices.

Streamed tensors are handed over channels last, (1, …, C) with the axes otherwise in their order:
engines on the CPU compute in that order, so that their own reordering falls away, and slices of the
first spatial axis lie one behind another in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import onnx_ir as ir

from volunet.graph.spans import Interpolated, Span
from volunet.inference.streaming.fixed import Array, FixedGraph, constant_values, copy_of, value_of
from volunet.inference.streaming.groups import Feed, Group
from volunet.inference.streaming.ranges import Range, on_range
from volunet.inference.streaming.windows import Windows, windows_of


@dataclass(frozen=True, eq=False)
class Kernel:
    """A group at a number of slices.

    Attributes:
        group: The group.
        chunk: For each tensor that it makes the slices of a run.
        runs: Runs until every output is complete.
        windows: For each feed where its windows lie.
        feed_shapes: Shape of each feed's window, channels last; of a group that runs once, of the
            whole tensor.
        output_shapes: Shape of each output of a run, likewise.
        axes: Axis of each output that is streamed, None where it is made at once.
    """

    group: Group
    chunk: Mapping[str, int]
    runs: int
    windows: tuple[Windows, ...]
    feed_shapes: tuple[tuple[int, ...], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    axes: tuple[int | None, ...]


def channels_last(shape: Sequence[int]) -> tuple[int, ...]:
    """(N, C, …) → (N, …, C)."""
    return (shape[0], *shape[2:], shape[1])


def with_slices(shape: Sequence[int], axis: int, count: int) -> tuple[int, ...]:
    """A shape with another size on an axis."""
    return (*shape[:axis], count, *shape[axis + 1 :])


def make_kernel(
    fixed: FixedGraph, group: Group, axes: Mapping[str, int | None], slices: int
) -> Kernel:
    """Fix a group at a number of slices.

    Args:
        fixed: The graph.
        group: The group.
        axes: The axis of each tensor.
        slices: Slices of its finest tensor in a run; a multiple of its granule.
    """
    if group.is_whole:
        return Kernel(
            group,
            {},
            1,
            tuple(_everything(feed) for feed in group.feeds),
            tuple(fixed.shapes[feed.tensor] for feed in group.feeds),
            tuple(fixed.shapes[name] for name in group.outputs),
            (None,) * len(group.outputs),
        )
    chunk = {name: int(slices * ratio) for name, ratio in group.ratios.items()}
    runs = max(-(-fixed.shapes[name][_axis(axes, name)] // chunk[name]) for name in group.outputs)
    windows = tuple(
        windows_of(
            feed.span,
            feed.size,
            chunk[feed.reader],
            fixed.shapes[feed.reader][_axis(axes, feed.reader)],
            runs,
        )
        for feed in group.feeds
    )
    return Kernel(
        group,
        chunk,
        runs,
        windows,
        tuple(
            channels_last(with_slices(fixed.shapes[feed.tensor], feed.axis, window.length))
            for feed, window in zip(group.feeds, windows, strict=True)
        ),
        tuple(
            channels_last(with_slices(fixed.shapes[name], _axis(axes, name), chunk[name]))
            for name in group.outputs
        ),
        tuple(axes[name] for name in group.outputs),
    )


def kernel_of(kernel: Kernel, outputs: tuple[str, ...]) -> Kernel:
    """A kernel that makes some of its outputs only, with what leads to them."""
    group = kernel.group
    ordered = tuple(name for name in group.outputs if name in outputs)
    if ordered == group.outputs:
        return kernel
    wanted = set(ordered)
    kept: list[int] = []
    for place in reversed(range(len(group.steps))):
        step = group.steps[place]
        if wanted.intersection(step.outputs):
            kept.insert(0, place)
            wanted.update(tensor.name for tensor in step.rule.inputs if tensor is not None)
    keys = {key for (place, _), key in group.reads.items() if place in kept}
    feeds = [index for index, feed in enumerate(group.feeds) if feed.key in keys]
    narrowed = replace(
        group,
        steps=tuple(group.steps[place] for place in kept),
        feeds=tuple(group.feeds[index] for index in feeds),
        statics=tuple(name for name in group.statics if name in wanted),
        outputs=ordered,
        reads={
            (kept.index(place), index): key
            for (place, index), key in group.reads.items()
            if place in kept
        },
    )
    places = [group.outputs.index(name) for name in ordered]
    return replace(
        kernel,
        group=narrowed,
        windows=tuple(kernel.windows[index] for index in feeds),
        feed_shapes=tuple(kernel.feed_shapes[index] for index in feeds),
        output_shapes=tuple(kernel.output_shapes[place] for place in places),
        axes=tuple(kernel.axes[place] for place in places),
    )


def _axis(axes: Mapping[str, int | None], name: str) -> int:
    axis = axes[name]
    if axis is None:
        raise ValueError(name)
    return axis


def _everything(feed: Feed) -> Windows:
    zero, size = np.zeros(1, np.int64), np.full(1, feed.size)
    return Windows(feed.size, zero, size, np.array([0, feed.size]))


def kernel_model(fixed: FixedGraph, kernel: Kernel, axes: Mapping[str, int | None]) -> ir.Model:
    """The model of a kernel.

    Its inputs are the feeds, for each interpolated one the weights behind it, then the tensors
    without the axis; its outputs are the group's.
    """
    group = kernel.group
    inputs: list[ir.Value] = []
    nodes: list[ir.Node] = []
    constants: dict[str, Array] = {}
    names: dict[tuple[str, Span | None, float], str] = {}
    for index, (feed, shape) in enumerate(zip(group.feeds, kernel.feed_shapes, strict=True)):
        dtype = fixed.dtypes[feed.tensor]
        if group.is_whole:
            inputs.append(value_of(feed.tensor, shape, dtype))
            names[feed.key] = feed.tensor
            continue
        given = f"feed{index}"
        inputs.append(value_of(given, shape, dtype))
        if isinstance(feed.span, Interpolated):
            weights = (kernel.chunk[feed.reader], kernel.windows[index].length)
            inputs.append(value_of(f"weights{index}", weights, dtype))
            nodes += _interpolating(index, feed, shape, weights, constants)
            given = f"feed{index}.interpolated"
        rank = len(shape)
        names[feed.key] = f"{feed.tensor}.feed{index}"
        order = [0, rank - 1, *range(1, rank - 1)]
        nodes.append(_transpose(given, names[feed.key], order))
    inputs += [value_of(name, fixed.shapes[name], fixed.dtypes[name]) for name in group.statics]
    for place, step in enumerate(group.steps):
        renamed = {
            tensor.name: names[group.reads[place, index]]
            for index, tensor in enumerate(step.rule.inputs)
            if tensor is not None and (place, index) in group.reads
        }
        if group.is_whole:
            nodes.append(copy_of(step.node, names=renamed))
            continue
        name = step.outputs[0]
        where = Range(fixed, axes[name] or 0, kernel.chunk[name])
        nodes.append(on_range(step, where, renamed))
        constants.update(where.constants)
    outputs = []
    for name, shape in zip(group.outputs, kernel.output_shapes, strict=True):
        if group.is_whole:
            outputs.append(value_of(name, shape, fixed.dtypes[name]))
            continue
        rank = len(shape)
        nodes.append(_transpose(name, f"{name}.out", [0, *range(2, rank), 1]))
        outputs.append(value_of(f"{name}.out", shape, fixed.dtypes[name]))
    read = [v.name or "" for node in nodes for v in node.inputs if v is not None]
    constants = {**constant_values(fixed.constants, read), **constants}
    return fixed.model_of(nodes, inputs, outputs, constants)


def _transpose(name: str, output: str, order: Sequence[int]) -> ir.Node:
    return _node("Transpose", [name], output, ir.AttrInt64s("perm", list(order)))


def _interpolating(
    index: int,
    feed: Feed,
    shape: tuple[int, ...],
    weights: tuple[int, int],
    constants: dict[str, Array],
) -> list[ir.Node]:
    """A matrix product along the streamed axis: each output slice a weighted sum of slices."""
    place = feed.axis - 1  # channels last, the axes move up by one
    flat = (prod(shape[:place]), shape[place], prod(shape[place + 1 :]))
    chunk, _ = weights
    prefix = f"feed{index}"
    constants[f"{prefix}.flat"] = np.array(flat, np.int64)
    constants[f"{prefix}.shape"] = np.array((*shape[:place], chunk, *shape[place + 1 :]), np.int64)
    return [
        _node("Reshape", [prefix, f"{prefix}.flat"], f"{prefix}.rows"),
        _node("MatMul", [f"weights{index}", f"{prefix}.rows"], f"{prefix}.product"),
        _node("Reshape", [f"{prefix}.product", f"{prefix}.shape"], f"{prefix}.interpolated"),
    ]


def _node(op_type: str, inputs: Sequence[str], output: str, *attributes: ir.Attr) -> ir.Node:
    return ir.Node(
        "", op_type, [ir.Value(name=name) for name in inputs], list(attributes),
        outputs=[ir.Value(name=output)], name=output,
    )  # fmt: skip
