"""Operators of one input that keep its shape and compute each element by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import onnx_ir as ir

from volunet.graph.bounds import lower_bound
from volunet.graph.node import Node
from volunet.graph.operators.operator import Flops, Operator, Role, Source, element_flops
from volunet.graph.sizes import Expression, floor
from volunet.graph.tensors import Tensor, Value

Compute = Callable[[Value], Value | None]


@dataclass(frozen=True)
class Pointwise(Operator):
    """An operator of one input that keeps its shape; size on each axis: d.

    Attributes:
        function: PyTorch; ``{0}`` is the input and ``{alpha}`` … an attribute. Empty: none.
        role: The part that it plays.
        each: Operations on an element.
        compute: What it makes of a size, where a graph computes with sizes.
        attributes: Default of each attribute that the function names.

    Source:
        https://onnx.ai/onnx/operators/
    """

    function: str
    role: Role = "other"
    each: int = 1
    compute: Compute | None = None
    attributes: tuple[tuple[str, float], ...] = ()

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The input's shape; also that of a mask, the second output of a dropout."""
        values = node.values(0)
        if values is not None and self.compute is not None:
            computed = [self.compute(value) for value in values]
            values = None if None in computed else tuple(v for v in computed if v is not None)
        elif self.compute is None:
            values = None
        shape = node.input(0).shape
        is_data = values is None and node.input(0).is_data
        outputs = [node.output(shape, values=values, is_data=is_data)]
        for index in range(1, len(node.output_names)):
            outputs.append(node.output(shape, index=index, dtype=ir.DataType.BOOL))
        return tuple(outputs)

    def flops(self, node: Node) -> Flops:
        """A few operations for each element."""
        return element_flops(node, self.each)

    def source(self, node: Node) -> Source | None:
        """A function of ``torch`` or ``F``."""
        if not self.function:
            return None
        numbers = {name: _short(node.real(name, value)) for name, value in self.attributes}
        return Source(self.function.format("{0}", **numbers))


class Cast(Pointwise):
    """``Cast`` and ``CastLike``: another element type; sizes stay what they are."""

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The input's shape with the type asked for."""
        if node.op_type == "CastLike":
            dtype = node.input(1).dtype
        else:
            to = node.integer("to", 1)
            if to not in set(ir.DataType):
                raise node.fault(f"attribute to is {to}, no element type")
            dtype = ir.DataType(to)
        values = node.values(0)
        if values is not None and not dtype.is_floating_point():
            convert = _truth if dtype == ir.DataType.BOOL else _truncated
            cut = [convert(value) for value in values]
            values = None if None in cut else tuple(value for value in cut if value is not None)
        tensor = node.input(0)
        is_data = values is None and tensor.is_data
        return (node.output(tensor.shape, dtype=dtype, values=values, is_data=is_data),)

    def source(self, node: Node) -> Source | None:
        """``Tensor.to``."""
        dtype = node.outputs[0].dtype
        name = {"FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16"}.get(
            dtype.name, dtype.name.lower()
        )
        return Source(f"{{0}}.to(torch.{name})")


class Clip(Pointwise):
    """``Clip`` to bounds that are attributes (opset 6) or inputs (from opset 11)."""

    def source(self, node: Node) -> Source | None:
        """``torch.clamp``."""
        bounds = []
        for index, name in ((1, "min"), (2, "max")):
            values = node.values(index) if node.opset >= 11 else None
            if values and not isinstance(values[0], Expression):
                bounds.append(f"{name}={_short(float(values[0]))}")
            elif node.has(index):
                bounds.append(f"{name}={{{index}}}")  # computed, or infinite
            elif name in node.attributes:
                bounds.append(f"{name}={_short(node.real(name, 0.0))}")
        return Source(f"torch.clamp({{0}}, {', '.join(bounds)})") if bounds else Source("{0}")


class Selu(Pointwise):
    """``Selu``, whose numbers PyTorch does not let one choose."""

    def source(self, node: Node) -> Source | None:
        """``F.selu``; ``F.elu`` for other numbers than the paper's."""
        alpha, gamma = chosen = (node.real("alpha", _SELU_ALPHA), node.real("gamma", _SELU_GAMMA))
        usual = all(
            math.isclose(a, b, rel_tol=1e-6)
            for a, b in zip(chosen, (_SELU_ALPHA, _SELU_GAMMA), strict=True)
        )
        return Source(
            "F.selu({0})" if usual else f"F.elu({{0}}, {_short(alpha)}) * {_short(gamma)}"
        )


_SELU_ALPHA: Final = 1.6732632
_SELU_GAMMA: Final = 1.0507010


class Gelu(Pointwise):
    """``Gelu``, exact or by tanh."""

    def source(self, node: Node) -> Source | None:
        """``F.gelu``."""
        if node.text("approximate", "none") == "tanh":
            return Source('F.gelu({0}, approximate="tanh")')
        return Source("F.gelu({0})")


def _short(number: float) -> str:
    """A float32 attribute as it was written: 0.01, not 0.009999999776482582."""
    return repr(float(f"{number:.7g}"))


def _truncated(value: Value) -> Value | None:
    """Towards zero, as a cast to a whole number does."""
    if isinstance(value, Expression):
        if value.is_whole:
            return value
        return floor(value) if lower_bound(value) >= 0 else None
    return int(value)


def _truth(value: Value) -> Value | None:
    """1 for everything but 0."""
    if isinstance(value, Expression):
        return 1 if lower_bound(value) > 0 else None
    return int(value != 0)


def _negative(value: Value) -> Value:
    return -value


def _absolute(value: Value) -> Value | None:
    if isinstance(value, Expression):
        return None
    return value if value >= 0 else -value


def _ceiling(value: Value) -> Value:
    return -floor(-value)


def _square_root(value: Value) -> Value | None:
    if isinstance(value, Expression) or value < 0:
        return None
    root = Fraction(math.isqrt(math.floor(value)))
    return root if root * root == value else None


def _activation(function: str, each: int = 1, **attributes: float) -> Pointwise:
    return Pointwise(function, "activation", each, None, tuple(attributes.items()))


def _same(value: Value) -> Value:
    return value


POINTWISE: Final[dict[str, Operator]] = {
    "Relu": _activation("F.relu({0})"),
    "LeakyRelu": _activation("F.leaky_relu({0}, {alpha})", 2, alpha=0.01),
    "Elu": _activation("F.elu({0}, {alpha})", 3, alpha=1.0),
    "Selu": Selu("", "activation", 4),
    "Celu": _activation("F.celu({0}, {alpha})", 4, alpha=1.0),
    "ThresholdedRelu": _activation("F.threshold({0}, {alpha}, 0.0)", 1, alpha=1.0),
    "Gelu": Gelu("", "activation", 8),
    "Sigmoid": _activation("torch.sigmoid({0})", 4),
    "HardSigmoid": _activation("torch.clamp({0} * {alpha} + {beta}, 0, 1)", 4, alpha=0.2, beta=0.5),
    "HardSwish": _activation("F.hardswish({0})", 5),
    "Swish": _activation("{0} * torch.sigmoid({0} * {alpha})", 6, alpha=1.0),
    "Mish": _activation("F.mish({0})", 6),
    "Tanh": _activation("torch.tanh({0})", 4),
    "Softplus": _activation("F.softplus({0})", 3),
    "Softsign": _activation("F.softsign({0})", 3),
    "Clip": Clip("", "activation", 2),
    "Dropout": Pointwise("{0}", each=0, compute=_same),
    "Identity": Pointwise("{0}", each=0, compute=_same),
    "Cast": Cast("", each=0),
    "CastLike": Cast("", each=0),
    "Abs": Pointwise("torch.abs({0})", compute=_absolute),
    "Neg": Pointwise("-{0}", compute=_negative),
    "Floor": Pointwise("torch.floor({0})", compute=floor),
    "Ceil": Pointwise("torch.ceil({0})", compute=_ceiling),
    "Round": Pointwise("torch.round({0})"),
    "Sqrt": Pointwise("torch.sqrt({0})", compute=_square_root),
    "Exp": Pointwise("torch.exp({0})"),
    "Log": Pointwise("torch.log({0})"),
    "Erf": Pointwise("torch.erf({0})"),
    "Sin": Pointwise("torch.sin({0})"),
    "Cos": Pointwise("torch.cos({0})"),
    "Reciprocal": Pointwise("torch.reciprocal({0})"),
    "Sign": Pointwise("torch.sign({0})"),
    "Not": Pointwise("~{0}"),
}
