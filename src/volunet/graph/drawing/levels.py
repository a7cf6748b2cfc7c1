"""Finding the U in a graph: blocks of tensors, each on the level of its size, and the skips.

A block is what a convolution, a pooling or an upsampling makes, with all that follows and keeps its
shape: norms, activations, dropout, padding, cropping. `Walk` follows the graph once; `trim` leaves
out the blocks that only gate others or lie on a shortcut.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from volunet.graph.network import Network
from volunet.graph.node import Node
from volunet.graph.operators import OPERATORS
from volunet.graph.tensors import Shape, Tensor

Kind = Literal["input", "convolution", "down", "up"]

_WINDOW_POOLS: Final = ("MaxPool", "AveragePool", "LpPool")
_RESIZES: Final = ("Resize", "Upsample", "Reshape", "DepthToSpace", "SpaceToDepth")
_MARKS: Final = {"Slice": "cropped", "Pad": "padded"}


@dataclass
class Block:
    """One feature map of the picture.

    Attributes:
        level: Which size it has, by number; `Walk.sizes` says which.
        is_up: Whether the way to it went up since it last went down.
        kind: What made it.
        source: The block that it is made from.
        depth: Blocks before it on the way that made it.
        channels: Channels, all parts together.
        parts: Channels of what was concatenated, and whether each came by a skip; else empty.
        origin: The tensor that it is made as.
        tensor: The tensor whose size is written: the last that was joined with it.
        nodes: Its operators, the one that made it first.
    """

    level: int
    is_up: bool
    kind: Kind
    source: Block | None
    channels: int
    origin: str
    tensor: str
    nodes: list[Node] = field(default_factory=list)
    parts: list[tuple[int, bool]] = field(default_factory=list)
    depth: int = 0


@dataclass
class Link:
    """A join of one block with another.

    Attributes:
        source: Where it comes from.
        target: The block that is joined with it.
        is_added: Summed; else concatenated.
        marks: What is done with it on the way: ``cropped``, ``padded``, ``gated``.
        is_skip: Between the way down and the way up; else a shortcut on one way.
    """

    source: Block
    target: Block
    is_added: bool
    marks: frozenset[str]
    is_skip: bool


@dataclass(frozen=True)
class _Place:
    block: Block
    voxels: int
    marks: frozenset[str] = frozenset()


class Walk:
    """One pass over a graph whose sizes are numbers.

    Attributes:
        blocks: All blocks, in order.
        links: All joins, in order.
        outputs: The block of each of the graph's outputs, with the output.
        scales: The logarithm of each level's voxels for one of the input, by strides and factors
            alone: what convolutions without padding cut off does not make another level.
    """

    def __init__(self, network: Network) -> None:
        self.blocks: list[Block] = []
        self.links: list[Link] = []
        self.scales: list[float] = []
        self._places: dict[str, _Place] = {}
        self._rank = max((len(tensor.shape or ()) for tensor in network.inputs), default=0)
        first: int | None = None
        for tensor in network.inputs:
            voxels = self._voxels(tensor.shape)
            if voxels is not None:
                first = first or voxels
                level = self._nearest(range(len(self.scales)), math.log(voxels / first), 0.5)
                block = self._add(level, "input", None, tensor)
                self._places[tensor.name] = _Place(block, voxels)
        for node in network.data_nodes:
            self._visit(node)
        self.outputs = [
            (self._places[tensor.name].block, tensor)
            for tensor in network.outputs
            if tensor.name in self._places and self._voxels(tensor.shape) is not None
        ]

    def _visit(self, node: Node) -> None:
        operands = [
            (tensor, self._places[tensor.name])
            for tensor in node.inputs
            if tensor is not None and tensor.name in self._places
        ]
        if not operands or node.outputs[0].shape is None:
            return
        if len({id(place.block) for _, place in operands}) > 1:
            place = self._join(node, operands)
        else:
            found = self._follow(node, *operands[0])
            if found is None:
                return
            place = found
        self._places.update((tensor.name, place) for tensor in node.outputs)

    def _follow(self, node: Node, tensor: Tensor, place: _Place) -> _Place | None:
        """One operand: a new block, or the same one; None where no feature map is left."""
        operator = OPERATORS.get(node.op_type)
        role = "other" if operator is None else operator.role_in(node)
        if role == "pooling" and node.op_type not in _WINDOW_POOLS:
            return None
        block = place.block
        voxels = self._voxels(node.outputs[0].shape)
        kind, change = (None, 0.0) if voxels is None else _kind(node, voxels / place.voxels)
        if kind is None:
            block.nodes.append(node)
            mark = _MARKS.get(node.op_type)
            is_marked = mark is not None and tensor.shape != node.outputs[0].shape
            marks = place.marks | {mark} if mark and is_marked else place.marks
            return _Place(block, voxels or place.voxels, marks)
        level = block.level
        if kind != "convolution":
            scale = self.scales[level]
            others = [i for i, its in enumerate(self.scales) if (its < scale) == (change < 0)]
            others = [i for i in others if i != level]
            level = self._nearest(others, scale + change, abs(change) / 2)
        made = self._add(level, kind, block, node.outputs[0])
        made.nodes.append(node)
        return _Place(made, voxels or 1)

    def _join(self, node: Node, operands: list[tuple[Tensor, _Place]]) -> _Place:
        """Several operands: the block of the deepest takes the others in."""
        operator = OPERATORS.get(node.op_type)
        if operator is None or operator.role_in(node) != "skip":
            out = node.outputs[0].shape
            place = next((p for tensor, p in operands if tensor.shape == out), operands[0][1])
            sides = {other.block.is_up for _, other in operands}
            gated = frozenset({"gated"} if len(sides) > 1 else ())
            return _Place(place.block, place.voxels, place.marks | gated)
        deepest = max(operands, key=lambda operand: operand[1].block.depth)[1]
        main = deepest.block
        sides = {place.block.is_up for _, place in operands}
        others = [(tensor, place) for tensor, place in operands if place.block is not main]
        is_added = node.op_type != "Concat"
        for _, place in others:
            same = place.block.level == main.level
            is_skip = len(sides) > 1 and same
            self.links.append(Link(place.block, main, is_added, place.marks, is_skip))
        if not is_added and node.attributes.get("axis") == 1:
            taken = [(_channels(tensor), len(sides) > 1) for tensor, _ in others]
            total = _channels(node.outputs[0])
            rest = main.parts or [(total - sum(count for count, _ in taken), False)]
            main.parts = [*taken, *rest]
            main.channels = total
        main.tensor = node.outputs[0].name
        main.nodes.append(node)
        return _Place(main, self._voxels(node.outputs[0].shape) or deepest.voxels)

    def _add(self, level: int, kind: Kind, source: Block | None, tensor: Tensor) -> Block:
        is_up = kind == "up" or (kind == "convolution" and source is not None and source.is_up)
        depth = 0 if source is None else source.depth + 1
        channels = _channels(tensor)
        name = tensor.name
        block = Block(level, is_up, kind, source, channels, name, name, depth=depth)
        self.blocks.append(block)
        return block

    def _nearest(self, levels: Iterable[int], scale: float, tolerance: float) -> int:
        """The level of a scale, among some; a new one where none is near."""
        level = min(levels, key=lambda other: abs(self.scales[other] - scale), default=None)
        if level is not None and abs(self.scales[level] - scale) <= tolerance:
            return level
        self.scales.append(scale)
        return len(self.scales) - 1

    def _voxels(self, shape: Shape | None) -> int | None:
        """Number of voxels of a feature map; None for what is none."""
        if shape is None or len(shape) < 3 or len(shape) != self._rank:
            return None
        sizes = [size for size in shape[2:] if isinstance(size, int)]
        return math.prod(sizes) if len(sizes) == len(shape) - 2 and min(sizes) > 0 else None


def _kind(node: Node, growth: float) -> tuple[Kind | None, float]:
    """What kind of block a node makes, and the logarithm of the voxels that one becomes."""
    strides = node.attributes.get("strides")
    steps = [s for s in strides if isinstance(s, int)] if isinstance(strides, list) else []
    change = math.log(math.prod(steps))
    if node.op_type in ("Conv", *_WINDOW_POOLS) and change > 0:
        return "down", -change
    if node.op_type == "ConvTranspose" and change > 0:
        return "up", change
    if node.op_type in ("Conv", "ConvTranspose"):
        return "convolution", 0.0
    if node.op_type in _RESIZES and abs(math.log(growth)) > 0.4:
        return ("up" if growth > 1 else "down"), math.log(growth)
    return None, 0.0


def _channels(tensor: Tensor) -> int:
    channels = tensor.shape[1] if tensor.shape is not None and len(tensor.shape) > 1 else 0
    return channels if isinstance(channels, int) else 0
