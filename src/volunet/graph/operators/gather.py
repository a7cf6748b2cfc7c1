"""Picking slices by their numbers."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.operator import (
    Operator,
    Read,
    SizeWriter,
    Source,
    positive_axis,
)
from volunet.graph.spans import Pointwise, Whole, Window
from volunet.graph.tensors import Tensor


class Gather(Operator):
    """``Gather``: the axis becomes the indices' axes.

    Source:
        https://onnx.ai/onnx/operators/onnx__Gather.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """Of a list of sizes, those sizes."""
        shape, indices = node.shape(0), node.shape(1)
        axis = positive_axis(node, node.integer("axis", 0), len(shape))
        values, places = node.values(0), node.sizes(1)
        picked = None
        if values is not None and places is not None and len(shape) == 1:
            if not all(isinstance(p, int) and -len(values) <= p < len(values) for p in places):
                raise node.fault(f"indices {places} of {len(values)} elements")
            picked = tuple(values[place] for place in places if isinstance(place, int))
        elif places is not None:
            numbers = [place for place in places if isinstance(place, int)]
            if numbers:
                least = max(max(numbers) + 1, -min(numbers))
                node.require(">=", shape[axis], least, f"axis {axis} for the indices {numbers}")
        out = (*shape[:axis], *indices, *shape[axis + 1 :])
        return (node.output(out, values=picked),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """On its axis all slices, or the one that a single constant index picks."""
        own = positive_axis(node, node.integer("axis", 0), len(node.shape(0)))
        if index == 1:
            return Read(own + axis, Pointwise())
        if axis < own:
            return Read(axis, Pointwise())
        added = len(node.shape(1)) - 1
        if axis > own:
            return Read(axis + added, Pointwise())
        size = node.numbers(0)[axis]
        places = node.sizes(1)
        if places is not None and len(places) == 1 and len(node.shape(1)) == 1:
            place = places[0]
            if isinstance(place, int):
                return Read(axis, Window(begin=-(place % size)))
        return Read(axis if added == 0 else None, Whole(size))

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """The table, where it is one of numbers and not of sizes."""
        return (0,) if node.input(0).dtype.is_floating_point() else ()

    def source(self, node: Node) -> Source | None:
        """``torch.select`` for a single constant index, ``torch.index_select`` for a list.

        An index expression for a table of indices.
        """
        axis = positive_axis(node, node.integer("axis", 0), len(node.shape(0)))
        places = node.sizes(1)
        writer = SizeWriter()
        if places is not None and node.shape(1) == ():
            call = f"torch.select({{0}}, {axis}, {writer.text(places[0])})"
            return Source(call, sizes=writer.formulas)
        if len(node.shape(1)) != 1:
            return Source(f"{{0}}[{':, ' * axis}{{1}}]")
        if places is not None:
            size = node.shape(0)[axis]
            forward = [p + size if isinstance(p, int) and p < 0 else p for p in places]
            call = f"torch.index_select({{0}}, {axis}, torch.tensor([{writer.listed(forward)}]))"
            return Source(call, sizes=writer.formulas)
        return Source(f"torch.index_select({{0}}, {axis}, {{1}})")
