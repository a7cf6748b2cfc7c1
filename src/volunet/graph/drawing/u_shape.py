"""`UShape`: what of a network's blocks the picture shows, and the refusal where there is no U."""

from __future__ import annotations

import math
from dataclasses import dataclass

from volunet.errors import ConfigError
from volunet.graph.drawing.levels import Block, Link, Walk
from volunet.graph.drawing.words import clean
from volunet.graph.network import Network
from volunet.graph.tensors import Tensor


@dataclass(frozen=True)
class UShape:
    """A network as a U.

    Attributes:
        blocks: Its feature maps, in the order in which they are computed.
        skips: From the way down to the way up, on one level.
        shortcuts: Within one level, on one way: of residual and dense blocks.
        outputs: The graph's outputs and the blocks that they are of.
        rows: How long an axis of each level is, of the first input's, on average; a block's
            ``level`` is its place in it.
        alike: Networks of this shape, side by side, that read the same input and whose answers are
            joined, as by bagging; the others are left out.
    """

    blocks: list[Block]
    skips: list[Link]
    shortcuts: list[Link]
    outputs: list[tuple[Block, Tensor]]
    rows: list[float]
    alike: int = 1


def find_u(network: Network) -> UShape:
    """Find the way down, the way up and the skips between.

    Raises:
        ConfigError: The network is no U, or does not work at its size.
    """
    if network.failures:
        raise ConfigError(
            network.where,
            f"does not work at this size: {network.failures[0]}",
            "The picture of a U needs every size as a number.",
            "Choose another --size; volunet inspect tells which work.",
        )
    walk = Walk(network)
    kept, shortcuts = _trim(walk)
    kept, alike = _one_of_many(walk, kept)
    shortcuts = [s for s in shortcuts if id(s.source) in kept and id(s.target) in kept]
    skips = [s for s in walk.links if s.is_skip and id(s.target) in kept]
    blocks = [block for block in walk.blocks if id(block) in kept]
    seen = blocks or walk.blocks
    downs, ups = (sum(block.kind == kind for block in seen) for kind in ("down", "up"))
    if not (blocks and downs and ups and skips):
        names = ", ".join(sorted({clean(node.op_type, 40) for node in network.unsupported})[:5])
        unknown = f"; it has operators without a rule: {names}" if names else ""
        raise ConfigError(
            network.where,
            f"no U: it goes down {counted(downs, 'time')} and up {counted(ups, 'time')}, "
            f"with {counted(len(skips), 'skip')} between the two ways{unknown}",
            "A U goes down by pooling or strides, up again, and joins the two ways by skips.",
            "Draw it with --style graph.",
        )
    used = sorted({block.level for block in blocks}, key=lambda i: (-walk.scales[i], i))
    axes = max(len(tensor.shape or ()) for tensor in network.inputs) - 2
    rows = [math.exp(walk.scales[level] / axes) for level in used]
    for block in blocks:
        block.level = used.index(block.level)
    return UShape(blocks, _once(skips), _once(shortcuts), walk.outputs, rows, alike)


def counted(number: int, word: str) -> str:
    """A number and a word, in the plural where it is not one."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def _once(links: list[Link]) -> list[Link]:
    """One link between any two blocks."""
    return list({(id(link.source), id(link.target)): link for link in reversed(links)}.values())[
        ::-1
    ]


def _trim(walk: Walk) -> tuple[set[int], list[Link]]:
    """The blocks that lead to an output other than by a gate or a shortcut, and the shortcuts.

    A shortcut's own convolutions are left out: it is drawn from the last block that is shown. A
    branch that comes up from another level is shown.
    """
    kept: set[int] = set()
    _keep([block for block, _ in walk.outputs], walk, kept)
    changed = True
    while changed:
        changed = False
        for link in walk.links:
            branch = _hidden_branch(link.source, kept)
            if id(link.target) in kept and any(block.kind == "up" for block in branch):
                _keep([link.source], walk, kept)
                changed = True
    shortcuts = []
    for link in walk.links:
        if link.is_skip or id(link.target) not in kept:
            continue
        branch = _hidden_branch(link.source, kept)
        source = branch[-1].source if branch else link.source
        if source is not None and source.level != link.target.level:
            source = _first_on_level(link.target)
        if source is not None and source is not link.target:
            shortcuts.append(Link(source, link.target, link.is_added, link.marks, is_skip=False))
    return kept, shortcuts


def _one_of_many(walk: Walk, kept: set[int]) -> tuple[set[int], int]:
    """Of networks alike that share their inputs and join their answers, one's blocks; how many.

    It is the one that the answers are read off. Where the networks differ, all stay that are kept.
    """
    part_of: dict[int, int] = {}
    for block in walk.blocks:
        if block.kind != "input":
            part_of[id(block)] = part_of.get(id(block.source), id(block))
    for link in walk.links:
        ends = part_of.get(id(link.source)), part_of.get(id(link.target))
        if link.is_skip and ends[0] is not None:
            part_of = {b: ends[0] if part == ends[1] else part for b, part in part_of.items()}
    shapes: dict[int, list[tuple[object, ...]]] = {}
    for block in walk.blocks:
        if id(block) in part_of:
            shape = (block.kind, block.level, block.channels, *block.parts)
            shapes.setdefault(part_of[id(block)], []).append(shape)
    read = {part_of.get(id(block)) for block, _ in walk.outputs}
    if len(read) != 1 or len({tuple(shape) for shape in shapes.values()}) != 1:
        return kept, 1
    return kept - {block for block, part in part_of.items() if part not in read}, len(shapes)


def _keep(blocks: list[Block], walk: Walk, kept: set[int]) -> None:
    """Keep blocks and those that they are made of, skips included."""
    skips: dict[int, list[Block]] = {}
    for link in walk.links:
        if link.is_skip:
            skips.setdefault(id(link.target), []).append(link.source)
    stack = list(blocks)
    while stack:
        block = stack.pop()
        if id(block) in kept:
            continue
        kept.add(id(block))
        stack.extend(skips.get(id(block), ()))
        if block.source is not None:
            stack.append(block.source)


def _hidden_branch(block: Block | None, kept: set[int]) -> list[Block]:
    """A block and those before it, back to one that is shown."""
    branch = []
    while block is not None and id(block) not in kept:
        branch.append(block)
        block = block.source
    return branch


def _first_on_level(block: Block) -> Block:
    while block.source is not None and block.source.level == block.level:
        block = block.source
    return block
