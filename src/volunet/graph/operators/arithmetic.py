"""Operators of two or more inputs, element by element, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import onnx_ir as ir

from volunet.graph.bounds import lower_bound, maximum, minimum, truncate_div
from volunet.graph.node import Node
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Role,
    Source,
    element_flops,
)
from volunet.graph.sizes import Expression, Size, floor
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import MOST_VALUES, Shape, Tensor, Value, whole_values

Combine = Callable[[Value, Value], "Value | None"]


@dataclass(frozen=True)
class Arithmetic(Operator):
    """An operator of two or more inputs; size on each axis: the larger, the other being 1 or equal.

    Attributes:
        infix: PyTorch's sign between the inputs, or a function's name.
        combine: What it makes of two sizes, where a graph computes with sizes.
        gives_bool: Whether it answers true or false.

    Source:
        https://onnx.ai/onnx/repo-docs/Broadcasting.html
    """

    infix: str
    combine: Combine | None = None
    gives_bool: bool = False

    def role_in(self, node: Node) -> Role:
        """A skip, where a sum joins two tensors of data."""
        data = sum(tensor.is_data for tensor in node.inputs if tensor is not None)
        return "skip" if data > 1 and node.op_type in ("Add", "Sum") else "other"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """Shapes broadcast; of lists of sizes, the sizes computed."""
        shape = broadcast(node, [node.shape(i) for i in range(len(node.inputs))])
        dtype = ir.DataType.BOOL if self.gives_bool else None
        values = _combined(node, shape, self.combine)
        return (node.output(shape, dtype=dtype, values=values),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """The same slice; the only one of an axis of size 1 that is repeated."""
        return broadcast_read(node, index, axis)

    def flops(self, node: Node) -> Flops:
        """One operation for each element and each input after the first."""
        return element_flops(node, max(len(node.inputs) - 1, 1))

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """Constants of more than one element, as a norm that is written out has them."""
        return tuple(
            index
            for index, tensor in enumerate(node.inputs)
            if tensor is not None and tensor.dtype.is_floating_point() and tensor.num_elements != 1
        )

    def source(self, node: Node) -> Source | None:
        """An expression or a call."""
        places = [f"{{{index}}}" for index in range(len(node.inputs))]
        if len(places) == 1:
            return Source(places[0])
        if self.infix.isidentifier():
            call = places[0]
            for place in places[1:]:
                call = f"torch.{self.infix}({call}, {place})"
            return Source(call)
        return Source(f" {self.infix} ".join(places))


class Divide(Arithmetic):
    """``Div``: exact for floating-point elements, towards zero for whole ones."""

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """Shapes broadcast; of lists of sizes, the quotients."""
        shape = broadcast(node, [node.shape(0), node.shape(1)])
        exact = node.input(0).dtype.is_floating_point()
        return (
            node.output(
                shape, values=_combined(node, shape, _quotient if exact else _whole_quotient)
            ),
        )

    def source(self, node: Node) -> Source | None:
        """``/``, or ``torch.div`` towards zero."""
        if node.input(0).dtype.is_floating_point():
            return Source("{0} / {1}")
        return Source('torch.div({0}, {1}, rounding_mode="trunc")')


class Modulo(Arithmetic):
    """``Mod``: the remainder has the divisor's sign, with ``fmod`` the dividend's."""

    def source(self, node: Node) -> Source | None:
        """``torch.remainder`` or ``torch.fmod``."""
        function = "fmod" if node.integer("fmod", 0) else "remainder"
        return Source(f"torch.{function}({{0}}, {{1}})")


class Mean(Arithmetic):
    """``Mean``: the sum divided by the number of inputs."""

    def source(self, node: Node) -> Source | None:
        """A sum and a division."""
        count = len(node.inputs)
        places = " + ".join(f"{{{index}}}" for index in range(count))
        return Source(f"({places}) / {count}")


class Where(Arithmetic):
    """``Where``: of two inputs, elementwise, by a condition."""

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """Shapes broadcast; of lists of sizes, the sizes chosen."""
        shape = broadcast(node, [node.shape(i) for i in range(3)])
        condition, yes, no = (_spread(node, i, shape) for i in range(3))
        values = None
        if condition is not None and yes is not None and no is not None:
            values = tuple(a if c else b for c, a, b in zip(condition, yes, no, strict=True))
        return (node.output(shape, dtype=node.input(1).dtype, values=values),)

    def source(self, node: Node) -> Source | None:
        """``torch.where``."""
        return Source("torch.where({0}, {1}, {2})")


def broadcast(node: Node, shapes: list[Shape]) -> Shape:
    """The common shape of several; what its sizes must fulfil is noted with the node."""
    if not shapes:
        raise node.fault("no inputs")
    rank = max(map(len, shapes))
    total: list[Size] = [1] * rank
    for index, shape in enumerate(shapes):
        for axis, size in enumerate(shape, start=rank - len(shape)):
            so_far = total[axis]
            if so_far == size or size == 1:
                continue
            if so_far == 1:
                total[axis] = size
                continue
            name = node.input(index).name
            node.require(
                "broadcast", so_far, size, f"axis {axis} of '{node.input(0).name}' and of '{name}'"
            )
            total[axis] = maximum(so_far, size)
    return tuple(total)


def unify(node: Node, shape: Shape, index: int) -> None:
    """Note that an input must broadcast to a shape that it does not change.

    Raises:
        ShapeError: It has more axes than the shape.
    """
    own = node.shape(index)
    if len(own) > len(shape):
        raise node.fault(f"an input of {len(own)} axes for {len(shape)}")
    first, name = node.input(0).name, node.input(index).name
    for axis, size in enumerate(own, start=len(shape) - len(own)):
        if size != 1:
            node.require("==", shape[axis], size, f"axis {axis} of '{first}' and of '{name}'")


def broadcast_read(node: Node, index: int, axis: int) -> Read:
    """How an input that is broadcast is read: axes are counted from the last."""
    out = node.outputs[0].shape or ()
    own = axis + len(out) - len(node.shape(index))
    size = node.numbers(index)[axis]
    return Read(own, Whole(1) if size == 1 and out[own] != 1 else Pointwise())


def _combined(node: Node, shape: Shape, combine: Combine | None) -> tuple[Value, ...] | None:
    if combine is None:
        return None
    total = _spread(node, 0, shape)
    for index in range(1, len(node.inputs)):
        other = _spread(node, index, shape)
        if total is None or other is None:
            return None
        pairs = [combine(a, b) for a, b in zip(total, other, strict=True)]
        if any(pair is None for pair in pairs):
            return None
        total = tuple(pair for pair in pairs if pair is not None)
    return total


def _spread(node: Node, index: int, shape: Shape) -> tuple[Value, ...] | None:
    """An input's known elements, repeated to a shape of at most one axis longer than 1."""
    values = node.values(index)
    count = 1
    for size in shape:
        if not isinstance(size, int):
            return None
        count *= size
    if values is None or count > MOST_VALUES:
        return None
    if len(values) == count:
        return values
    return values * count if len(values) == 1 else None


def _add(a: Value, b: Value) -> Value:
    return a + b


def _subtract(a: Value, b: Value) -> Value:
    return a - b


def _multiply(a: Value, b: Value) -> Value:
    return b * a if isinstance(b, Expression) else a * b


def _quotient(a: Value, b: Value) -> Value | None:
    return None if isinstance(b, Expression) or b == 0 else a * (1 / Fraction(b))


def _whole_quotient(a: Value, b: Value) -> Value | None:
    if isinstance(a, Fraction) or isinstance(b, Fraction):
        return None
    return truncate_div(a, b)


def _modulo(a: Value, b: Value) -> Value | None:
    if not isinstance(b, int) or b < 1 or isinstance(a, Fraction):
        return None
    return a - floor(a * Fraction(1, b)) * b


def _power(a: Value, b: Value) -> Value | None:
    if not isinstance(b, int | Fraction) or b != int(b) or not 0 <= b <= _LARGEST_POWER:
        return None
    total: Value = 1
    for _ in range(int(b)):
        total = _multiply(total, a)
    return total


_LARGEST_POWER: Final = 4


def _larger(a: Value, b: Value) -> Value | None:
    if isinstance(a, int | Fraction) and isinstance(b, int | Fraction):
        return max(a, b)
    sizes = whole_values((a, b))
    return None if sizes is None else maximum(*sizes)


def _smaller(a: Value, b: Value) -> Value | None:
    if isinstance(a, int | Fraction) and isinstance(b, int | Fraction):
        return min(a, b)
    sizes = whole_values((a, b))
    return None if sizes is None else minimum(*sizes)


def _signs_of(a: Value, b: Value) -> set[int]:
    """−1, 0 and 1 as far as a can be below, equal to and above b."""
    difference = a - b
    if isinstance(difference, int | Fraction):
        return {(difference > 0) - (difference < 0)}
    signs = {-1, 0, 1}
    for sign in (1, -1):
        bound = lower_bound(difference * sign)
        signs -= {-sign, 0} if bound > 0 else {-sign} if bound == 0 else set()
    return signs


def _compare(true_for: tuple[int, ...]) -> Combine:
    def combine(a: Value, b: Value) -> Value | None:
        signs = _signs_of(a, b)
        if signs <= set(true_for):
            return 1
        return 0 if signs.isdisjoint(true_for) else None

    return combine


def _both(a: Value, b: Value) -> Value:
    return int(a != 0 and b != 0)


def _either(a: Value, b: Value) -> Value:
    return int(a != 0 or b != 0)


ARITHMETIC: Final[dict[str, Operator]] = {
    "Add": Arithmetic("+", _add),
    "Sub": Arithmetic("-", _subtract),
    "Mul": Arithmetic("*", _multiply),
    "Div": Divide("/"),
    "Mod": Modulo("", _modulo),
    "Pow": Arithmetic("**", _power),
    "Max": Arithmetic("maximum", _larger),
    "Min": Arithmetic("minimum", _smaller),
    "Sum": Arithmetic("+", _add),
    "Mean": Mean(""),
    "Equal": Arithmetic("==", _compare((0,)), gives_bool=True),
    "Less": Arithmetic("<", _compare((-1,)), gives_bool=True),
    "LessOrEqual": Arithmetic("<=", _compare((-1, 0)), gives_bool=True),
    "Greater": Arithmetic(">", _compare((1,)), gives_bool=True),
    "GreaterOrEqual": Arithmetic(">=", _compare((0, 1)), gives_bool=True),
    "And": Arithmetic("logical_and", _both, gives_bool=True),
    "Or": Arithmetic("logical_or", _either, gives_bool=True),
    "Where": Where(""),
}
