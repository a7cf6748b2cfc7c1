"""The same elements under another shape."""

from __future__ import annotations

from math import prod

from volunet.errors import ShapeError
from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator, Read, SizeWriter, Source
from volunet.graph.sizes import Expression, Size, divide_exactly, product, shape_text
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Shape, Tensor


class Reshape(Operator):
    """``Reshape``: 0 keeps the input's size, −1 is what is left over.

    Source:
        https://onnx.ai/onnx/operators/onnx__Reshape.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The shape asked for, its number of elements that of the input."""
        shape = node.shape()
        wanted = self._wanted(node)
        if wanted is None:
            raise ShapeError(
                f"Reshape '{node.name}'",
                "a shape that depends on the data",
                "The shape is a constant, or follows from the input's size.",
                "Export the model again; such a reshape is not supported.",
            )
        keep = not node.integer("allowzero", 0)
        out: list[Size] = []
        for axis, size in enumerate(wanted):
            if size == 0 and keep:
                if axis >= len(shape):
                    raise node.fault(f"a size kept on axis {axis} of {len(shape)}")
                size = shape[axis]
            out.append(size)
        total = product(shape)
        if out.count(-1) > 1:
            raise node.fault(f"{shape_text(out)}: more than one size is left open")
        if -1 in out:
            place = out.index(-1)
            rest = product([size for axis, size in enumerate(out) if axis != place])
            left = divide_exactly(total, rest)
            if left is None and isinstance(total, int) and isinstance(rest, int):
                left = out[place] = total // rest if rest else 0
                node.require("==", total, rest * left, _reason(shape, out))
            if left is None:
                raise ShapeError(
                    f"Reshape '{node.name}'",
                    f"{shape_text(shape)} does not follow as {shape_text(out)}",
                    "What is left over on the axis of −1 has a formula.",
                    "Give the model's input a size.",
                )
            out[place] = left
        else:
            node.require("==", total, product(out), _reason(shape, out))
        return (node.output(tuple(out), values=node.values(0)),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """An axis that keeps its size and its place among the elements; else all of it."""
        if index > 0:
            return Read(None, Pointwise())
        return kept_axis(node, axis)

    def source(self, node: Node) -> Source | None:
        """``torch.flatten`` where neighbouring axes are joined, else ``Tensor.reshape``."""
        return regrouping(node.shape(), node.outputs[0].shape or ())

    def _wanted(self, node: Node) -> tuple[Size, ...] | None:
        return node.sizes(1) if node.has(1) else node.integers("shape")


def regrouping(shape: Shape, out: Shape) -> Source:
    """PyTorch that gives a tensor another shape of as many elements."""
    joined = len(shape) - len(out)
    # From behind: the batch's axis is the last to be joined.
    for first in reversed(range(len(out)) if joined > 0 else ()):
        last = first + joined
        one = product(shape[first : last + 1])
        if out == (*shape[:first], one, *shape[last + 1 :]):
            if last < len(shape) - 1:
                return Source(f"{{0}}.flatten({first}, {last})")
            return Source(f"torch.flatten({{0}}, {first})" if first else "torch.flatten({0})")
    writer = SizeWriter()
    sizes = _with_one_open(shape, out)
    return Source(f"{{0}}.reshape({writer.listed(sizes) or '()'})", sizes=writer.formulas)


def _with_one_open(shape: Shape, out: Shape) -> Shape:
    """A shape with −1 for a formula: the only one, or the longest that is no size of the input."""
    formulas = {axis: size for axis, size in enumerate(out) if isinstance(size, Expression)}
    if len(formulas) > 1:
        formulas = {axis: size for axis, size in formulas.items() if size not in shape}
    if not formulas:
        return out
    place = max(formulas, key=lambda axis: (formulas[axis].length, axis))
    return (*out[:place], -1, *out[place + 1 :])


def kept_axis(node: Node, axis: int) -> Read:
    """How an axis is read by an operator that only regroups the elements."""
    shape = node.numbers()
    out = tuple(size for size in node.outputs[0].shape or () if isinstance(size, int))
    before = prod(shape[:axis])
    for other, size in enumerate(out):
        if size == shape[axis] and prod(out[:other]) == before and (size != 1 or other == axis):
            return Read(other, Pointwise())
    return Read(None, Whole(shape[axis]))


def _reason(shape: tuple[Size, ...], out: list[Size]) -> str:
    return f"elements of {shape_text(shape)} and of {shape_text(out)}"
