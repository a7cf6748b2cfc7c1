"""Global operators written as statistics of slices, so that only those wait for a whole axis.

The mean of a volume is the mean of its slices' means: the slices' follow the axis like any other
tensor and are a few numbers each; only they are gathered along all of it. What is computed of them
is in float64 (Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing
sample variances, 1979, with slices of one size).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from volunet.graph.operators import OPERATORS
from volunet.graph.operators.global_pool import GlobalPool
from volunet.graph.operators.reduce import Reduce
from volunet.inference.streaming.dilated_transposed import write_small
from volunet.inference.streaming.fixed import Array, FixedGraph, Step, copy_of, rebuilt

_AXES_AS_INPUT: Final = 18
"""Version of the operator set from which on ReduceMean takes its axes as an input."""


def lower(fixed: FixedGraph, axis: int) -> FixedGraph:
    """Write normalisations and reductions over an axis as statistics of its slices.

    Dilated transposed convolutions are written as small ones too (`dilated_transposed`).

    Args:
        fixed: A graph.
        axis: The axis that is streamed, 2 being the first spatial one.

    Returns:
        A graph that answers the same.
    """
    nodes: list[ir.Node] = []
    writer = _Writer(fixed.opset)
    grouped = _grouped_norms(fixed)
    skipped = {id(step) for triple in grouped.values() for step in triple}
    for step in fixed.steps:
        if id(step) in skipped and id(step) not in grouped:
            continue
        writer.begin(step.outputs[0])
        if id(step) in grouped:
            _group_norm(fixed, grouped[id(step)], axis, writer)
        elif step.rule.op_type == "InstanceNormalization":
            _instance_norm(fixed, step, axis, writer)
        elif step.rule.op_type == "GroupNormalization":
            _group_normalization(fixed, step, axis, writer)
        elif _reduces(step, axis):
            _reduction(step, axis, writer)
        elif (pair := write_small(fixed, step, writer.constants)) is not None:
            nodes.extend(pair)
            writer.has_written = True
        else:
            nodes.append(copy_of(step.node))
        nodes.extend(writer.taken())
    return rebuilt(fixed, nodes, writer.constants) if writer.has_written else fixed


class _Writer:
    """Makes nodes whose values have names of their own."""

    def __init__(self, opset: int) -> None:
        self.constants: dict[str, Array] = {}
        self.has_written = False
        self._opset = opset
        self._nodes: list[ir.Node] = []
        self._prefix = ""
        self._count = 0

    def begin(self, prefix: str) -> None:
        self._prefix = prefix

    def taken(self) -> list[ir.Node]:
        nodes, self._nodes = self._nodes, []
        return nodes

    def constant(self, array: Array) -> str:
        name = self._name()
        self.constants[name] = array
        return name

    def node(
        self, op_type: str, inputs: Sequence[str], output: str | None = None, **attributes: Any
    ) -> str:
        self.has_written = True
        name = output or self._name()
        made = ir.Node(
            "", op_type, [ir.Value(name=i) for i in inputs],
            [ir.convenience.convert_attribute(key, value) for key, value in attributes.items()],
            outputs=[ir.Value(name=name)], name=f"{name}.{op_type}",
        )  # fmt: skip
        self._nodes.append(made)
        return name

    def reduce(
        self,
        op_type: str,
        x: str,
        axes: Sequence[int],
        keepdims: int = 1,
        output: str | None = None,
    ) -> str:
        as_input = self._opset >= (13 if op_type == "ReduceSum" else _AXES_AS_INPUT)
        if as_input:
            listed = self.constant(np.array(axes, np.int64))
            return self.node(op_type, [x, listed], output, keepdims=keepdims)
        return self.node(op_type, [x], output, axes=list(axes), keepdims=keepdims)

    def in_float64(self, x: str) -> str:
        return self.node("Cast", [x], to=int(ir.DataType.DOUBLE))

    def in_float32(self, x: str) -> str:
        return self.node("Cast", [x], to=int(ir.DataType.FLOAT))

    def _name(self) -> str:
        self._count += 1
        return f"{self._prefix}.streamed{self._count}"


def _moments(writer: _Writer, x: str, rank: int, axis: int) -> tuple[str, str]:
    """Mean and variance of each channel over all spatial axes, float64, spatial sizes 1."""
    others = [a for a in range(2, rank) if a != axis]
    # Axis by axis, the last first: a running float32 sum over a plane would lose digits.
    mean = x
    for other in reversed(others):
        mean = writer.reduce("ReduceMean", mean, [other])
    gap = writer.node("Sub", [x, mean])
    spread = writer.node("Mul", [gap, gap])
    for other in reversed(others):
        spread = writer.reduce("ReduceMean", spread, [other])
    slices = writer.in_float64(mean)
    centre = writer.reduce("ReduceMean", slices, [axis])
    gap = writer.node("Sub", [slices, centre])
    between = writer.reduce("ReduceMean", writer.node("Mul", [gap, gap]), [axis])
    within = writer.reduce("ReduceMean", writer.in_float64(spread), [axis])
    return centre, writer.node("Add", [between, within])


def _normalised(
    writer: _Writer, x: str, mean: str, variance: str, epsilon: float, scale: str, bias: str,
    output: str,
) -> None:  # fmt: skip
    """(x − mean) · scale / √(variance + ε) + bias, as x · factor + shift."""
    epsilon_name = writer.constant(np.array(epsilon, np.float64))
    deviation = writer.node("Sqrt", [writer.node("Add", [variance, epsilon_name])])
    factor = writer.node("Div", [scale, deviation])
    shift = writer.node("Sub", [bias, writer.node("Mul", [mean, factor])])
    scaled = writer.node("Mul", [x, writer.in_float32(factor)])
    writer.node("Add", [scaled, writer.in_float32(shift)], output)


def _channels(fixed: FixedGraph, name: str, rank: int, repeat: int = 1) -> Array:
    """A constant of one number a channel, float64, (1, C, 1, …)."""
    numbers = np.repeat(fixed.constants[name].astype(np.float64).ravel(), repeat)
    return numbers.reshape(1, -1, *([1] * (rank - 2)))


def _instance_norm(fixed: FixedGraph, step: Step, axis: int, writer: _Writer) -> None:
    x, scale, bias = (t.name for t in step.rule.inputs if t is not None)
    rank = len(step.rule.numbers())
    mean, variance = _moments(writer, x, rank, axis)
    scale = writer.constant(_channels(fixed, scale, rank))
    bias = writer.constant(_channels(fixed, bias, rank))
    epsilon = step.rule.real("epsilon", 1e-5)
    _normalised(writer, x, mean, variance, epsilon, scale, bias, step.outputs[0])


def _group_statistics(
    writer: _Writer, mean: str, variance: str, channels: int, groups: int, rank: int
) -> tuple[str, str]:
    """Mean and variance of groups of channels, for each of their channels, from the channels'."""
    ones = [1] * (rank - 2)
    split = writer.constant(np.array([1, groups, channels // groups, *ones], np.int64))
    joined = writer.constant(np.array([1, channels, *ones], np.int64))
    means = writer.node("Reshape", [mean, split])
    centre = writer.reduce("ReduceMean", means, [2])
    gap = writer.node("Sub", [means, centre])
    square = writer.node("Mul", [gap, gap])
    spread = writer.node("Add", [square, writer.node("Reshape", [variance, split])])
    spread = writer.reduce("ReduceMean", spread, [2])
    full = writer.constant(np.array([1, groups, channels // groups, *ones], np.int64))
    answers = []
    for statistic in (centre, spread):
        each = writer.node("Expand", [statistic, full])
        answers.append(writer.node("Reshape", [each, joined]))
    return answers[0], answers[1]


def _group_norm(
    fixed: FixedGraph, triple: tuple[Step, Step, Step], axis: int, writer: _Writer
) -> None:
    """Reshape, InstanceNormalization, Reshape: how exporters write a group norm."""
    before, norm, after = triple
    shape = before.rule.numbers()
    rank, channels = len(shape), shape[1]
    groups = norm.rule.numbers()[1]
    x = before.rule.input(0).name
    mean, variance = _moments(writer, x, rank, axis)
    mean, variance = _group_statistics(writer, mean, variance, channels, groups, rank)
    repeat = channels // groups
    scale = writer.constant(_channels(fixed, norm.rule.input(1).name, rank, repeat))
    bias = writer.constant(_channels(fixed, norm.rule.input(2).name, rank, repeat))
    epsilon = norm.rule.real("epsilon", 1e-5)
    _normalised(writer, x, mean, variance, epsilon, scale, bias, after.outputs[0])


def _group_normalization(fixed: FixedGraph, step: Step, axis: int, writer: _Writer) -> None:
    shape = step.rule.numbers()
    rank, channels = len(shape), shape[1]
    groups = step.rule.integer("num_groups", 1)
    x = step.rule.input(0).name
    mean, variance = _moments(writer, x, rank, axis)
    mean, variance = _group_statistics(writer, mean, variance, channels, groups, rank)
    weights = []
    for index in (1, 2):
        name = step.rule.input(index).name
        count = fixed.constants[name].size  # a number a group up to opset 20, a channel from 21 on
        weights.append(writer.constant(_channels(fixed, name, rank, channels // count)))
    epsilon = step.rule.real("epsilon", 1e-5)
    _normalised(writer, x, mean, variance, epsilon, weights[0], weights[1], step.outputs[0])


def _grouped_norms(fixed: FixedGraph) -> dict[int, tuple[Step, Step, Step]]:
    """Group norms that are written as three nodes, by the last of them."""
    makers = {name: step for step in fixed.steps for name in step.outputs}
    readers: dict[str, int] = {}
    for step in fixed.steps:
        for tensor in step.rule.inputs:
            if tensor is not None:
                readers[tensor.name] = readers.get(tensor.name, 0) + 1
    found = {}
    for after in fixed.steps:
        norm = _made_by(makers, after, "InstanceNormalization")
        before = None if norm is None else _made_by(makers, norm, "Reshape")
        if after.rule.op_type != "Reshape" or norm is None or before is None:
            continue
        shape = before.rule.numbers()
        own = all(readers[step.outputs[0]] == 1 for step in (before, norm))
        groups = norm.rule.numbers()[1]
        same = fixed.shapes[after.outputs[0]] == shape and shape[0] == 1
        if own and same and len(shape) > 2 and shape[1] % groups == 0:
            found[id(after)] = (before, norm, after)
    return found


def _made_by(makers: Mapping[str, Step], step: Step, op_type: str) -> Step | None:
    maker = makers.get(step.rule.input(0).name)
    return maker if maker is not None and maker.rule.op_type == op_type else None


_REDUCTIONS: Final = {
    "GlobalAveragePool": "ReduceMean", "GlobalMaxPool": "ReduceMax", "ReduceMean": "ReduceMean",
    "ReduceMax": "ReduceMax", "ReduceMin": "ReduceMin", "ReduceSum": "ReduceSum",
}  # fmt: skip


def _axes(step: Step) -> tuple[int, ...]:
    rules = OPERATORS[step.rule.op_type]
    if isinstance(rules, GlobalPool):
        return tuple(range(2, len(step.rule.numbers())))
    return rules.axes(step.rule) if isinstance(rules, Reduce) else ()


def _reduces(step: Step, axis: int) -> bool:
    if step.rule.op_type not in _REDUCTIONS or len(step.rule.numbers()) <= axis:
        return False
    if step.rule.input(0).dtype != ir.DataType.FLOAT:
        return False
    axes = _axes(step)
    return axis in axes


def _reduction(step: Step, axis: int, writer: _Writer) -> None:
    """Over the other axes slice by slice, then over the slices."""
    op_type = _REDUCTIONS[step.rule.op_type]
    axes = _axes(step)
    x = step.rule.input(0).name
    for other in sorted(set(axes) - {axis}, reverse=True):
        x = writer.reduce(op_type, x, [other])
    x = writer.in_float32(writer.reduce(op_type, writer.in_float64(x), [axis]))
    keep = step.rule.op_type.startswith("Global") or bool(step.rule.integer("keepdims", 1))
    if keep:
        writer.node("Identity", [x], step.outputs[0])
        return
    shape = [s for a, s in enumerate(step.rule.numbers()) if a not in axes]
    writer.node("Reshape", [x, writer.constant(np.array(shape, np.int64))], step.outputs[0])
