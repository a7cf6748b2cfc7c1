"""Three sizes to compare a network with its source at: small, and telling.

At one size two networks may agree that differ at all others: a size that is baked in, a crop where
a pad should be. So the axes have sizes of their own, not multiples of anything where the network
takes such, and are large enough that every tap of every convolution meets data and no
normalisation divides by the spread of a few voxels, which is rounding only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np
import onnx_ir as ir

from volunet.errors import ShapeError
from volunet.graph.inspecting.limits import TRIED, AxisLimit, Limits, Passes, find_limits, holds_at
from volunet.graph.network import Network, infer_sizes
from volunet.graph.node import Node, Requirement
from volunet.graph.operators import OPERATORS
from volunet.graph.operators.batch_normalization import in_training
from volunet.graph.operators.conv import conv_windows
from volunet.graph.sizes import symbols_of

NUM_SIZES: Final = 3
"""Sizes that are chosen."""

MOST_FLOPS: Final = 15 * 10**10
"""What one pass may cost where a cheaper one tells less: a second or two on two cores."""

MOST_BYTES: Final = 2**31
"""What all tensors of one pass may take together."""

Shapes = dict[str, tuple[int, ...]]
"""Input name → its whole shape, batch and channels first."""

_BASES: Final = (9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025)
"""Smallest size of an axis, tried from the first; odd, where the network takes such."""

_LEAST_VOXELS: Final = 8
"""Voxels that a normalisation should have for its mean and variance."""

_PATIENCE: Final = 3
"""Bases that tell no more than a smaller one, after which no larger one is tried."""


def choose_sizes(model: ir.Model, where: str) -> list[Shapes]:
    """Choose input shapes to run a network at.

    Batch is 1, and once 2 where the file leaves it open.

    Args:
        model: The graph, its nodes in order.
        where: The file, for messages.

    Returns:
        `NUM_SIZES` shapes for the graph's inputs. They differ as far as the network has so many
        sizes; of one whose sizes are all fixed, they are the same.

    Raises:
        ShapeError: No size is found that the network takes.
    """
    symbolic = infer_sizes(model, where)
    limits = find_limits(symbolic)
    best: _Trial | None = None
    stale = 0
    for base in _BASES:
        for sizes in _patterns(symbolic, limits, base):
            trial = _try(model, symbolic, limits, sizes)
            if trial is None:
                continue
            if best is None or trial.rank < best.rank:
                best, stale = trial, 0
            if best.is_good or not limits.axes:
                return best.shapes
            if trial.fits:
                break
        stale += best is not None and base >= best.smallest
        if stale > _PATIENCE:
            break
    if best is None:
        raise _no_size(where, symbolic, limits)
    return best.shapes


def _no_size(where: str, symbolic: Network, limits: Limits) -> ShapeError:
    reason = str(symbolic.failures[0]) if symbolic.failures else f"sizes that work: {limits.text}"
    return ShapeError(
        where,
        f"no size is found at which every operator fits ({reason})",
        "A network is verified at sizes that it takes.",
        "See what volunet inspect says of its sizes; export the model again.",
    )


@dataclass(frozen=True)
class _Trial:
    """Shapes that the network takes, and what they are worth.

    Attributes:
        shapes: The shapes, `NUM_SIZES` of them.
        starved: Nodes that do not get enough data at one of them.
        flops: Of the most expensive.
        fits: Whether each is within `MOST_FLOPS` and `MOST_BYTES`.
        smallest: Smallest size of an axis that was open.
    """

    shapes: list[Shapes]
    starved: int
    flops: int
    fits: bool
    smallest: int

    @property
    def num_distinct(self) -> int:
        return len({tuple(shapes.items()) for shapes in self.shapes})

    @property
    def is_good(self) -> bool:
        return self.fits and self.num_distinct == NUM_SIZES and not self.starved

    @property
    def rank(self) -> tuple[bool, int, int, int]:
        """The lower, the better."""
        return (not self.fits, -self.num_distinct, self.starved, self.flops)


def _patterns(network: Network, limits: Limits, base: int) -> Iterator[list[dict[str, int]]]:
    """Sizes of the first input's open axes, `NUM_SIZES` at a time, the most different first."""
    known = {limit.axis: limit for limit in limits.axes}
    levels = {name: _levels(known[name], base) for name in _sized_axes(network)}
    spatial = {limit.axis for limit in limits.spatial}
    if any(used <= spatial for used, _ in _joint_rules(network)) and limits.diagonal.any():
        same = _levels_of(limits.diagonal, base)
        yield [
            {name: (same if name in spatial else own)[k] for name, own in levels.items()}
            for k in range(NUM_SIZES)
        ]
        return
    yield [
        {name: own[(place + k) % NUM_SIZES] for place, (name, own) in enumerate(levels.items())}
        for k in range(NUM_SIZES)
    ]
    if len(levels) >= NUM_SIZES:  # of fewer voxels
        yield [
            {name: own[int(place == k)] for place, (name, own) in enumerate(levels.items())}
            for k in range(NUM_SIZES)
        ]


def _sized_axes(network: Network) -> list[str]:
    """The open axes of the first input but its batch, by their symbols."""
    shape = network.inputs[0].shape or ()
    axes = shape[1:] if len(shape) > 1 else shape
    return list(dict.fromkeys(str(size) for size in axes if not isinstance(size, int)))


def _levels(limit: AxisLimit, base: int) -> tuple[int, ...]:
    return _levels_of(limit.passes, base)


def _levels_of(passes: Passes, base: int) -> tuple[int, ...]:
    """`NUM_SIZES` sizes that pass, from a base up, as far as there are so many."""
    step = base // 5 | 1  # odd, so that sizes are even and odd in turn
    found = [_nearest(passes, base) or _nearest(passes, 1) or base]
    while len(found) < NUM_SIZES:
        last = found[-1]
        found.append(_nearest(passes, last + step) or _nearest(passes, last + 1) or last)
    return tuple(found)


def _nearest(passes: Passes, size: int) -> int | None:
    """The smallest size that passes and is not below a given one."""
    from_here = np.flatnonzero(passes[size - 1 :])
    return size + int(from_here[0]) if from_here.size else None


def _joint_rules(network: Network) -> list[tuple[frozenset[str], Requirement]]:
    """What must hold of several axes together, and which these are."""
    rules = dict.fromkeys(rule for _, rule in network.requirements)
    used = [(symbols_of(rule.left) | symbols_of(rule.right), rule) for rule in rules]
    return [(names, rule) for names, rule in used if len(names) > 1]


def _try(
    model: ir.Model, symbolic: Network, limits: Limits, patterns: list[dict[str, int]]
) -> _Trial | None:
    """Walk the network at each of some sizes; None where it takes none of them."""
    batches = (1, 2, 1) if any(len(set(c)) > 1 for c in _columns(patterns)) else (1, 2, 3)
    found = []
    for sizes, batch in zip(patterns, batches, strict=True):
        network = _walk(model, symbolic, limits, sizes, batch)
        if network is None and batch > 1:
            network = _walk(model, symbolic, limits, sizes, 1)
        if network is not None:
            found.append(network)
    if not found:
        return None
    flops = max(_flops(network) for network in found)
    num_bytes = max(_bytes(network) for network in found)
    return _Trial(
        [_shapes(found[k % len(found)]) for k in range(NUM_SIZES)],
        max(map(_num_starved, found)),
        flops,
        flops <= MOST_FLOPS and num_bytes <= MOST_BYTES,
        min((min(sizes.values()) for sizes in patterns if sizes), default=0),
    )


def _columns(patterns: list[dict[str, int]]) -> list[list[int]]:
    return [[sizes[name] for sizes in patterns] for name in patterns[0]]


def _walk(
    model: ir.Model, symbolic: Network, limits: Limits, sizes: Mapping[str, int], batch: int
) -> Network | None:
    """The network at a size of its first input; None where something does not fit."""
    values = _complete(symbolic, limits, sizes, batch)
    if values is None:
        return None
    network = infer_sizes(model, symbolic.where, (), values)
    return None if network.failures else network


def _complete(
    symbolic: Network, limits: Limits, sizes: Mapping[str, int], batch: int
) -> dict[str, int] | None:
    """Numbers for all open axes, those of the other inputs such that they fit the first's."""
    values = dict(sizes)
    joint = _joint_rules(symbolic)
    tried = np.arange(1, TRIED + 1, dtype=np.int64)
    for limit in limits.axes:
        name = limit.axis
        if name in values:
            continue
        passes = limit.passes.copy()
        for used, rule in joint:
            if name in used and used - {name} <= values.keys():
                given = {other: np.asarray(values[other]) for other in used - {name}}
                passes &= holds_at(rule, {name: tried, **given})
        size = _nearest(passes, _wanted(symbolic, name, values, batch)) or _nearest(passes, 1)
        if size is None:
            return None
        values[name] = size
    return values


def _wanted(network: Network, name: str, values: Mapping[str, int], batch: int) -> int:
    """A size for an axis: the first input's, where an input has as many axes, or its batch."""
    first = network.inputs[0].shape or ()
    for tensor in network.inputs:
        shape = tensor.shape or ()
        for axis, size in enumerate(shape):
            if str(size) != name:
                continue
            if len(shape) == len(first) and (own := first[axis]) != size:
                return own if isinstance(own, int) else values.get(str(own), batch)
            if axis == 0 and len(shape) > 1:
                return batch
    return NUM_SIZES


def _shapes(network: Network) -> Shapes:
    return {
        tensor.name: tuple(size for size in tensor.shape or () if isinstance(size, int))
        for tensor in network.inputs
    }


def _flops(network: Network) -> int:
    total = 0
    for node in network.data_nodes:
        if node.op_type in OPERATORS:
            flops = OPERATORS[node.op_type].flops(node)
            total += flops.products + flops.others
    return total


def _bytes(network: Network) -> int:
    return sum(tensor.num_bytes or 0 for node in network.data_nodes for tensor in node.outputs)


def _num_starved(network: Network) -> int:
    """Nodes to which so little data comes that their answer does not show what they compute."""
    makers = {name: node for node in network.nodes for name in node.output_names}
    total = 0
    for node in network.data_nodes:
        if node.op_type == "Conv":
            total += _has_idle_taps(node, makers.get(node.input(0).name))
        elif node.op_type in ("InstanceNormalization", "GroupNormalization"):
            total += prod(node.numbers()[2:]) < _LEAST_VOXELS
        elif node.op_type == "BatchNormalization" and in_training(node):
            batch, _, *spatial = node.numbers()
            total += batch * prod(spatial) < _LEAST_VOXELS
    return total


def _has_idle_taps(node: Node, before: Node | None) -> bool:
    """Whether a tap of a convolution only ever meets padding, its own or that of a Pad before."""
    padded = node.numbers()[2:]
    sizes = before.numbers()[2:] if before is not None and before.op_type == "Pad" else padded
    outputs = node.outputs[0].shape or ()
    for axis, window in enumerate(conv_windows(node)):
        begin, output = window.begin, outputs[axis + 2]
        if not isinstance(begin, int) or not isinstance(output, int):
            continue
        begin += (padded[axis] - sizes[axis]) // 2  # as good as all pad both sides alike
        starts = range(-begin, -begin + window.stride * output, window.stride)
        for offset in range(0, window.reach, window.dilation):
            if not any(0 <= start + offset < sizes[axis] for start in starts):
                return True
    return False
