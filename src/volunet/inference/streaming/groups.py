"""Which nodes run together in one call of an engine.

A group reads windows of buffered tensors, and everything behind the windows in it is slice by
slice: activations, norms, sums, poolings whose windows lie side by side. So no slice of a group is
computed twice, and no operator of it ever runs on slices beyond the volume whose values are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, TypeAlias

from volunet.graph.operators import OPERATORS
from volunet.graph.spans import Pointwise, Span, TransposedWindow
from volunet.inference.streaming.fixed import FixedGraph, Step
from volunet.inference.streaming.flows import Flow, Flows, is_pointwise, whole_steps

FeedKey: TypeAlias = tuple[str, Span | None, float]


@dataclass(frozen=True)
class Feed:
    """What a group reads along the axis.

    Attributes:
        tensor: Name of the tensor as the group's nodes know it.
        parts: The tensors that it is joined of along its channels; itself alone in most cases.
        axis: Its axis that is streamed.
        size: Its slices.
        span: How the reading node reads it; pointwise where it is read by several alike.
        reader: An output of the node that reads it.
        fill: Value of slices beyond its ends.
    """

    tensor: str
    parts: tuple[str, ...]
    axis: int
    size: int
    span: Span
    reader: str
    fill: float

    @property
    def key(self) -> FeedKey:
        """What readers of the same window have in common."""
        return self.tensor, None if is_pointwise(self.span) else self.span, self.fill


@dataclass(frozen=True, eq=False)
class Group:
    """Nodes that run together.

    Attributes:
        steps: The nodes, in order.
        feeds: What they read along the axis; of a group that runs once, what they read all of.
        statics: Tensors without the axis that they read, made by other groups.
        outputs: Tensors that others read.
        is_whole: Whether it runs once, on all of its inputs.
        reads: For each node's place and input the key of the feed that it reads.
        ratios: For each tensor made here its slices for each slice of the finest one.
        granule: Slices of the finest tensor that a run must make a multiple of.
    """

    steps: tuple[Step, ...]
    feeds: tuple[Feed, ...]
    statics: tuple[str, ...]
    outputs: tuple[str, ...]
    is_whole: bool
    reads: dict[tuple[int, int], FeedKey]
    ratios: dict[str, Fraction]
    granule: int

    @property
    def name(self) -> str:
        """Its last output."""
        return self.outputs[-1]

    @property
    def flops(self) -> int:
        """Operations of all slices together."""
        each = (OPERATORS[step.rule.op_type].flops(step.rule) for step in self.steps)
        return sum(flops.products + flops.others for flops in each)


@dataclass
class _Growing:
    """A group while nodes join it."""

    is_whole: bool
    steps: list[tuple[Step, Flow]] = field(default_factory=list)
    before: set[int] = field(default_factory=set)


def form_groups(fixed: FixedGraph, flows: Flows) -> tuple[Group, ...]:
    """Put the nodes of a graph into groups, in an order in which they can run."""
    return _Forming(fixed, flows).groups()


class _Forming:
    def __init__(self, fixed: FixedGraph, flows: Flows) -> None:
        self._fixed = fixed
        self._flows = flows
        self._readers: dict[str, int] = {}
        for step in fixed.steps:
            for name in _data_inputs(fixed, step):
                self._readers[name] = self._readers.get(name, 0) + 1
        self._joined = dict(self._joins())
        self._growing: list[_Growing] = []
        self._group_of: dict[str, int] = {}

    def groups(self) -> tuple[Group, ...]:
        for step, flow in zip(self._fixed.steps, self._flows.nodes, strict=True):
            if step.outputs[0] in self._joined:
                continue
            place = self._place(step, flow)
            growing = self._growing[place]
            growing.steps.append((step, flow))
            for name in self._external(step):
                maker = self._group_of.get(name)
                if maker is not None and maker != place:
                    growing.before |= {maker, *self._growing[maker].before}
            self._group_of.update(dict.fromkeys(step.outputs, place))
        finished = [self._finished(index) for index in range(len(self._growing))]
        order = sorted(range(len(finished)), key=self._depth)
        return tuple(finished[index] for index in order)

    def _depth(self, index: int) -> tuple[int, int]:
        return len(self._growing[index].before), index

    def _joins(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Tensors that are joined along their channels: never held, but their parts are."""
        for step, flow in zip(self._fixed.steps, self._flows.nodes, strict=True):
            name = step.outputs[0]
            inputs = [t.name for t in step.rule.inputs if t is not None]
            alike = all(self._flows.axes.get(i) == flow.axis is not None for i in inputs)
            is_channels = step.rule.integer("axis", 0) in (1, 1 - len(self._fixed.shapes[name]))
            is_join = step.rule.op_type == "Concat" and alike and is_channels
            if is_join and not flow.is_whole and name != self._fixed.target:
                yield name, tuple(inputs)

    def _parts(self, name: str) -> tuple[str, ...]:
        if name not in self._joined:
            return (name,)
        return tuple(part for joined in self._joined[name] for part in self._parts(joined))

    def _external(self, step: Step) -> list[str]:
        return [p for name in _data_inputs(self._fixed, step) for p in self._parts(name)]

    def _place(self, step: Step, flow: Flow) -> int:
        """The group that a node joins, or a new one."""
        inputs = {name: self._group_of.get(name) for name in self._external(step)}
        made = sorted({place for place in inputs.values() if place is not None}, reverse=True)
        for place in made:
            others = [other for other in made if other != place]
            after = any(place in self._growing[other].before for other in others)
            if not after and self._joins_in(step, flow, place, inputs):
                return place
        self._growing.append(_Growing(flow.is_whole))
        return len(self._growing) - 1

    def _joins_in(self, step: Step, flow: Flow, place: int, inputs: dict[str, int | None]) -> bool:
        growing = self._growing[place]
        own = [name for name, maker in inputs.items() if maker == place]
        if growing.is_whole or flow.is_whole:
            # What is streamed on behind a node that runs once is read by slices.
            follow = [name for name in own if self._flows.axes[name] is not None]
            return growing.is_whole and flow.is_whole and not follow
        out = step.outputs[0]
        out_size = self._fixed.shapes[out][flow.axis or 0]
        for index, tensor in enumerate(step.rule.inputs):
            if tensor is None or not set(own).intersection(self._parts(tensor.name)):
                continue
            if tensor.name in self._joined:
                return False
            axis = self._flows.axes[tensor.name]
            span = flow.spans.get(index)
            if span is None or axis is None:
                return False
            stride = whole_steps(span, self._fixed.shapes[tensor.name][axis], out_size)
            if stride is None:
                return False
            smaller = math.prod(self._fixed.shapes[out]) < math.prod(
                self._fixed.shapes[tensor.name]
            )
            if self._readers[tensor.name] > 1 and not smaller and not self._is_tied(step, own):
                return False
        return bool(own)

    def _is_tied(self, step: Step, own: Sequence[str]) -> bool:
        """Whether all that a node reads is of the group, as the difference from a slice's mean."""
        return set(self._external(step)) <= set(own) and len(own) > 1

    def _finished(self, index: int) -> Group:
        growing = self._growing[index]
        steps = [step for step, _ in growing.steps]
        made = {name for step in steps for name in step.outputs}
        own = {id(step) for step in steps}
        read_elsewhere = {
            part
            for step in self._fixed.steps
            if id(step) not in own and step.outputs[0] not in self._joined
            for part in self._external(step)
        }
        outputs = [n for n in made if n in read_elsewhere or n == self._fixed.target]
        order = {name: place for place, name in enumerate(n for s in steps for n in s.outputs)}
        statics: dict[str, None] = {}
        feeds: dict[FeedKey, Feed] = {}
        reads: dict[tuple[int, int], FeedKey] = {}
        for own_place, (step, flow) in enumerate(growing.steps):
            for place, tensor in enumerate(step.rule.inputs):
                if tensor is None or tensor.name in made or tensor.name not in self._fixed.shapes:
                    continue
                if not tensor.is_data:
                    continue
                axis = self._flows.axes.get(tensor.name)
                span = flow.spans.get(place)
                if axis is None or (span is None and not growing.is_whole):
                    statics[tensor.name] = None
                    continue
                feed = self._feed(step, tensor.name, axis, span or Pointwise())
                feeds.setdefault(feed.key, feed)
                reads[own_place, place] = feed.key
        ratios, granule = _ratios(growing.steps, self._fixed)
        return Group(
            tuple(steps),
            tuple(feeds.values()),
            tuple(statics),
            tuple(sorted(outputs, key=lambda name: order[name])),
            growing.is_whole,
            reads,
            ratios,
            granule,
        )

    def _feed(self, step: Step, name: str, axis: int, span: Span) -> Feed:
        """What a node reads of a tensor."""
        size = self._fixed.shapes[name][axis]
        return Feed(
            name,
            self._parts(name),
            axis,
            size,
            span,
            step.outputs[0],
            _fill(self._fixed, step, span),
        )


def _data_inputs(fixed: FixedGraph, step: Step) -> list[str]:
    names = [t.name for t in step.rule.inputs if t is not None and t.is_data]
    return list(dict.fromkeys(names))


def _fill(fixed: FixedGraph, step: Step, span: Span) -> float:
    """What an operator's own padding is made of."""
    if isinstance(span, Pointwise):
        return 0.0
    if step.rule.op_type == "MaxPool":
        return -math.inf
    if step.rule.op_type != "Pad":
        return 0.0
    if step.rule.opset < _VALUE_AS_INPUT:
        return step.rule.real("value", 0.0)
    return float(fixed.constants[step.rule.input(2).name]) if step.rule.has(2) else 0.0


_VALUE_AS_INPUT: Final = 11
"""Version of the operator set from which on Pad takes its value as an input."""


def _ratios(
    steps: Sequence[tuple[Step, Flow]], fixed: FixedGraph
) -> tuple[dict[str, Fraction], int]:
    """Slices of each tensor for each of the finest one, and what a run must be a multiple of."""
    ratios: dict[str, Fraction] = {}
    for step, flow in steps:
        ratio = Fraction(1)
        for index, tensor in enumerate(step.rule.inputs):
            span = flow.spans.get(index)
            if tensor is not None and span is not None and tensor.name in ratios:
                ratio = ratios[tensor.name] / max(span.step, Fraction(1))
        ratios.update(dict.fromkeys(step.outputs, ratio))
    finest = max(ratios.values())
    ratios = {name: ratio / finest for name, ratio in ratios.items()}
    granule = math.lcm(*(ratio.denominator for ratio in ratios.values()))
    for step, flow in steps:
        for span in flow.spans.values():
            if isinstance(span, TransposedWindow):
                needed = span.stride * ratios[step.outputs[0]].denominator
                granule = math.lcm(granule, needed)
    return ratios, granule
