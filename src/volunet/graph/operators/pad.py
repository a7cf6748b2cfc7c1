"""Padding and cropping at both ends."""

from __future__ import annotations

from typing import Final, Literal, cast

from volunet.errors import ShapeError
from volunet.graph.bounds import lower_bound
from volunet.graph.node import Node
from volunet.graph.operators.operator import (
    Operator,
    Read,
    SizeWriter,
    Source,
    positive_axis,
)
from volunet.graph.sizes import Expression, Size
from volunet.graph.spans import Mirrored, Pointwise, Window
from volunet.graph.tensors import Tensor


class Pad(Operator):
    """``Pad``: constant, reflect, edge and wrap; numbers below 0 cut off.

    Size on each axis: d + begin + end.

    Source:
        https://onnx.ai/onnx/operators/onnx__Pad.html,
        https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """Every axis by its own padding."""
        _mode(node)
        pads = zip(node.shape(), paddings(node), strict=True)
        return (node.output(tuple(d + begin + end for d, (begin, end) in pads)),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """The slices moved by the padding in front; mirrored ones at the ends, by the mode."""
        begin, end = paddings(node)[axis]
        mode = _mode(node)
        if (begin, end) == (0, 0):
            return Read(axis, Pointwise())
        if not isinstance(begin, int) or not isinstance(end, int):
            raise node.fault(f"padding {begin}, {end} of an input whose size is a number")
        if mode == "constant":
            return Read(axis, Window(begin=begin))
        kind = cast("Literal['edge', 'reflect', 'wrap']", mode)
        # What is cut off at one end is not mirrored at the other.
        cut = max(-begin, 0)
        size = node.numbers()[axis] - cut - max(-end, 0)
        return Read(axis, Mirrored(max(begin, 0), size, kind, cut))

    def source(self, node: Node) -> Source | None:
        """``F.pad``, whose list begins with the last axis.

        None where PyTorch does not have it: modes other than constant pad spatial axes, all of
        them, by less than they are long, and do not cut off.
        """
        mode = _mode(node)
        pads = list(paddings(node))
        writer = SizeWriter()
        if mode != "constant":
            inner = zip(node.shape()[2:], pads[2:], strict=True)
            fits = all(_may_fit(side, d) for d, pair in inner for side in pair)
            if any(pair != (0, 0) for pair in pads[:2]) or not fits or not 3 <= len(pads) <= 5:
                return None
            sides = writer.listed([side for pair in reversed(pads[2:]) for side in pair])
            call = f'F.pad({{0}}, [{sides}], mode="{_TORCH_MODES[mode]}")'
            return Source(call, sizes=writer.formulas)
        while pads and pads[0] == (0, 0):
            pads.pop(0)
        if not pads:
            return Source("{0}")
        sides = writer.listed([side for pair in reversed(pads) for side in pair])
        call = f"F.pad({{0}}, [{sides}]{_value_argument(node)})"
        return Source(call, sizes=writer.formulas)


def _mode(node: Node) -> str:
    mode = node.text("mode", "constant")
    if mode != "constant" and mode not in _TORCH_MODES:
        raise node.fault(f"mode {mode!r}")
    return mode


def _may_fit(side: Size, d: Size) -> bool:
    """Whether a side is from 0 to less than an axis is long; true where sizes decide that."""
    return lower_bound(side * -1) <= 0 and lower_bound(side - d) < 0


_TORCH_MODES: Final = {"edge": "replicate", "reflect": "reflect", "wrap": "circular"}


def _value_argument(node: Node) -> str:
    """``, value=…`` as PyTorch source, where it is not 0."""
    if node.opset < 11:
        value = node.real("value", 0.0)
    elif not node.has(2):
        return ""
    else:
        known = node.values(2)
        if known is None or isinstance(known[0], Expression):
            return ", value={2}.item()"  # infinite before a max pooling, or computed
        value = float(known[0])
    return f", value={value:.7g}" if value else ""


def paddings(node: Node) -> tuple[tuple[Size, Size], ...]:
    """Padding in front and behind, for each axis.

    Raises:
        ShapeError: It does not follow from the input's size.
    """
    rank = len(node.shape())
    numbers: tuple[Size, ...] | None = node.sizes(1) if node.opset >= 11 else node.integers("pads")
    chosen = node.sizes(3) if node.has(3) else tuple(range(rank))
    if numbers is None or chosen is None or len(numbers) != 2 * len(chosen):
        raise ShapeError(
            f"Pad '{node.name}'",
            f"padding {numbers} for {rank} axes",
            "A number for each end of each axis, constant or from the input's size.",
            "Export the model again; a padding that depends on the data is not supported.",
        )
    pairs: list[tuple[Size, Size]] = [(0, 0)] * rank
    for place, axis in enumerate(chosen):
        if not isinstance(axis, int):
            raise node.fault(f"axis {axis}")
        pairs[positive_axis(node, axis, rank)] = (numbers[place], numbers[len(chosen) + place])
    return tuple(pairs)
