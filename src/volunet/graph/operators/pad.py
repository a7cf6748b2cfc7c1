"""Padding and cropping at both ends."""

from __future__ import annotations

from typing import Literal, cast

from volunet.errors import ShapeError
from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator, Read, Source, positive_axis
from volunet.graph.sizes import Size
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
        pads = zip(node.shape(), paddings(node), strict=True)
        return (node.output(tuple(d + begin + end for d, (begin, end) in pads)),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """The slices moved by the padding in front; mirrored ones at the ends, by the mode."""
        begin, end = paddings(node)[axis]
        mode = node.text("mode", "constant")
        if (begin, end) == (0, 0):
            return Read(axis, Pointwise())
        if not isinstance(begin, int):
            raise node.fault(f"padding {begin} of an input whose size is a number")
        if mode == "constant":
            return Read(axis, Window(begin=begin))
        kind = cast("Literal['edge', 'reflect', 'wrap']", mode)
        return Read(axis, Mirrored(begin, node.numbers()[axis], kind))

    def source(self, node: Node) -> Source | None:
        """``F.pad``, whose list begins with the last axis."""
        mode = {"edge": "replicate", "wrap": "circular"}.get(
            node.text("mode", "constant"), node.text("mode", "constant")
        )
        pads = list(paddings(node))
        while pads and pads[0] == (0, 0):
            pads.pop(0)
        sides = [side for pair in reversed(pads) for side in pair]
        value = node.values(2) if node.opset >= 11 else None
        arguments = [str(sides)]
        if mode != "constant":
            arguments.append(f'mode="{mode}"')
        elif value and value[0] != 0:
            arguments.append(f"value={float(str(value[0]))}")
        return Source(f"F.pad({{0}}, {', '.join(arguments)})")


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
