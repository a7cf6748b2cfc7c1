"""The receptive field of every tensor: which input slices one of its slices depends on.

Followed forward from the input, axis by axis, with the operators' own spans. The axis is taken as
longer than it is, so that the ends of this volume cut nothing off: the field is that of a slice in
the middle of a volume that is large enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.graph.network import Network
from volunet.graph.node import Node
from volunet.graph.operators import OPERATORS
from volunet.graph.spans import NOTHING, Interpolated, Mirrored, Pointwise, Span, Window

Slices = NDArray[np.int64]

_FIRST_MARGIN: Final = 1024
_LAST_MARGIN: Final = 65536


@dataclass(frozen=True)
class Field:
    """What slices [first, first + len(low)) of a tensor depend on, on one of its axes.

    Of a slice that depends on no input slice, `low` lies above `high`.

    Attributes:
        axis: The tensor's axis that follows the input's.
        first: The first slice.
        low: For each slice the first input slice that it depends on.
        high: For each slice the input slice behind the last one that it depends on.
    """

    axis: int
    first: int
    low: Slices
    high: Slices

    @property
    def size(self) -> int:
        """Input slices that a slice in the middle depends on: the most of all slices."""
        return max(int((self.high - self.low).max()), 0)

    def interval(self, slice_: int) -> tuple[int, int]:
        """Input slices [start, stop) that one slice depends on, ends not cut off."""
        place = slice_ - self.first
        low, high = int(self.low[place]), int(self.high[place])
        return (low, high) if low < high else NOTHING


_NEVER: Final = 1 << 60

WHOLE: Final = None
"""The field of a tensor each of whose slices depends on all of the axis."""


def find_fields(network: Network, axis: int) -> dict[str, Field | None]:
    """Follow one axis of the input through the network.

    Args:
        network: A network whose sizes are numbers.
        axis: An axis of its inputs, 2 being the first spatial one.

    Returns:
        The field of each tensor of data that is known, `WHOLE` where it is the whole axis.
    """
    margin = _FIRST_MARGIN
    while True:
        fields = _follow(network, axis, margin)
        widest = max((field.size for field in fields.values() if field is not None), default=0)
        if widest <= margin or margin >= _LAST_MARGIN:
            return fields
        margin *= 8


def _follow(network: Network, axis: int, margin: int) -> dict[str, Field | None]:
    fields: dict[str, Field | None] = {}
    unknown: set[str] = set()
    for tensor in network.inputs:
        if tensor.shape is None or len(tensor.shape) <= axis:
            continue
        size = tensor.shape[axis]
        slices = np.arange(-margin, (size if isinstance(size, int) else 1) + margin)
        fields[tensor.name] = Field(axis, -margin, slices, slices + 1)
    for node in network.data_nodes:
        known = node.op_type in OPERATORS and all(t.shape is not None for t in node.outputs)
        if not known or any(t is not None and t.name in unknown for t in node.inputs):
            unknown.update(node.output_names)
            continue
        followed = [
            _read(node, index, fields[tensor.name])
            for index, tensor in enumerate(node.inputs)
            if tensor is not None and tensor.is_data and tensor.name in fields
        ]
        if followed:
            joined = _join(followed)
            fields.update((tensor.name, joined) for tensor in node.outputs)
    return fields


def _read(node: Node, index: int, field: Field | None) -> Field | None:
    """The field of a node's output, as far as it comes from one input."""
    if field is None:
        return WHOLE
    read = OPERATORS[node.op_type].reads(node, index, field.axis)
    if read.axis is None or read.span.locality == "global" or read.span.step <= 0:
        return WHOLE
    if isinstance(read.span, Pointwise):
        return Field(read.axis, field.first, field.low, field.high)
    count = len(field.low)
    step = read.span.step
    first = int(field.first / step)
    slices = np.arange(first, int((field.first + count) / step))
    if not slices.size:
        return WHOLE
    start, stop = _needs(_endless(read.span), first, len(slices))
    low, high = np.full(len(slices), _NEVER), np.full(len(slices), -_NEVER)
    for tap in range(int((stop - start).max())):
        # Beyond what is known the ends stand for the rest: far from the middle, which alone counts.
        place = np.clip(start + tap - field.first, 0, count - 1)
        within = start + tap < stop
        low = np.where(within, np.minimum(low, field.low[place]), low)
        high = np.where(within, np.maximum(high, field.high[place]), high)
    return Field(read.axis, first, low, high)


def _endless(span: Span) -> Span:
    """The span in an input that goes on where this one ends and is repeated or mirrored."""
    if isinstance(span, Mirrored):
        return Window(begin=span.begin)
    return replace(span, is_endless=True) if isinstance(span, Interpolated) else span


@lru_cache(maxsize=256)  # networks repeat their layers, and resizing is slow to follow
def _needs(span: Span, first: int, count: int) -> tuple[Slices, Slices]:
    """`Span.need` of every slice by itself."""
    slices = np.arange(first, first + count)
    if isinstance(span, Window):
        start = slices * span.stride - span.begin
        return start, start + span.reach
    pairs = np.array([span.need(z, z + 1) for z in slices.tolist()], dtype=np.int64)
    return pairs[:, 0], pairs[:, 1]


def _join(fields: list[Field | None]) -> Field | None:
    """The field of an output that depends on several inputs."""
    present = [field for field in fields if field is not None]
    if len(present) < len(fields) or len({field.axis for field in present}) > 1:
        return WHOLE
    first = max(field.first for field in present)
    last = min(field.first + len(field.low) for field in present)
    low, high = (
        np.array([getattr(f, end)[first - f.first : last - f.first] for f in present])
        for end in ("low", "high")
    )
    return Field(present[0].axis, first, low.min(axis=0), high.max(axis=0))
