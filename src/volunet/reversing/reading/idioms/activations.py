"""Activations that are written out: SiLU, GELU, Mish and the hard ones of MobileNet."""

from __future__ import annotations

import math
from typing import Final

from volunet.graph.operators import Source
from volunet.reversing.reading.idioms.graph import Graph, Idiom, function_of, is_near, made
from volunet.reversing.reading.layers import Layer

_SIGMOID: Final = "torch.sigmoid({0})"
_RELU6: Final = "F.relu6({0})"
_HARD_SIGMOID: Final = "F.hardsigmoid({0})"


def silu(layer: Layer, graph: Graph) -> Layer | None:
    """SiLU, x · σ(x).

    Source:
        https://arxiv.org/abs/1702.03118
    """
    if layer.form.call == "{0} * torch.sigmoid({0} * {=0})" and layer.slots == (1.0,):
        return _activation(layer, "F.silu({0})", layer.inputs[0])
    return _gated(layer, graph, _SIGMOID, "F.silu({0})")


def hard_swish(layer: Layer, graph: Graph) -> Layer | None:
    """Hard swish, x · clip(x + 3, 0, 6) / 6.

    Source:
        https://arxiv.org/abs/1905.02244
    """
    found = _gated(layer, graph, _HARD_SIGMOID, "F.hardswish({0})")
    if found is not None:
        return found
    factors = graph.product(layer)
    if factors is None or not is_near(factors[2], 1 / 6):
        return None
    for x, gate in (factors[:2], factors[1::-1]):
        inner = graph.function(gate, _RELU6)
        if inner is not None and graph.shifted(inner.inputs[0]) == (x, 3.0):
            return _activation(layer, "F.hardswish({0})", x)
    return None


def hard_sigmoid(layer: Layer, graph: Graph) -> Layer | None:
    """Hard sigmoid, clip(x + 3, 0, 6) / 6, or clip(x/6 + ½, 0, 1)."""
    if layer.form.call == "torch.clamp({0} * {=0} + {=1}, {=2}, {=3})":
        slope, offset, *bounds = layer.slots
        if bounds == [0, 1] and offset == 0.5 and _is_sixth(slope):
            return _activation(layer, _HARD_SIGMOID, layer.inputs[0])
        return None
    factor = graph.scaling(layer)
    if factor is None or not is_near(factor, 1 / 6):
        return None
    inner = graph.function(layer.inputs[0], _RELU6)
    found = None if inner is None else graph.shifted(inner.inputs[0])
    if found is None or found[1] != 3.0:
        return None
    return _activation(layer, _HARD_SIGMOID, found[0])


def relu6(layer: Layer, graph: Graph) -> Layer | None:
    """ReLU6, clip(x, 0, 6)."""
    is_clip = layer.form.call == "torch.clamp({0}, min={=0}, max={=1})"
    return (
        _activation(layer, _RELU6, layer.inputs[0]) if is_clip and layer.slots == (0, 6) else None
    )


def relu(layer: Layer, graph: Graph) -> Layer | None:
    """ReLU, clip(x, 0, ∞)."""
    is_clip = layer.form.call == "torch.clamp({0}, min={=0})"
    return (
        _activation(layer, "F.relu({0})", layer.inputs[0])
        if is_clip and layer.slots == (0,)
        else None
    )


def gelu(layer: Layer, graph: Graph) -> Layer | None:
    """GELU, x/2 · (1 + erf(x/√2)), or with tanh(√(2/π) · (x + 0.044715 x³)) in place of erf.

    Source:
        https://arxiv.org/abs/1606.08415
    """
    factors = graph.product(layer)
    if factors is None or not is_near(factors[2], 0.5):
        return None
    for x, gate in (factors[:2], factors[1::-1]):
        shifted = graph.shifted(gate)
        if shifted is None or shifted[1] != 1.0:
            continue
        inner = graph.function(shifted[0], "torch.erf({0})")
        if inner is not None:
            base, factor = graph.scaled(inner.inputs[0])
            if base == x and is_near(factor, math.sqrt(0.5)):
                return _activation(layer, "F.gelu({0})", x)
        inner = graph.function(shifted[0], "torch.tanh({0})")
        if inner is not None and _is_tanh_argument(inner.inputs[0], x, graph):
            return _activation(layer, 'F.gelu({0}, approximate="tanh")', x)
    return None


def mish(layer: Layer, graph: Graph) -> Layer | None:
    """Mish, x · tanh(softplus(x)).

    Source:
        https://arxiv.org/abs/1908.08681
    """
    factors = graph.product(layer)
    if factors is None or factors[2] != 1.0:
        return None
    for x, gate in (factors[:2], factors[1::-1]):
        tanh = graph.function(gate, "torch.tanh({0})")
        inner = None if tanh is None else graph.function(tanh.inputs[0], "F.softplus({0})")
        if inner is not None and inner.inputs == (x,):
            return _activation(layer, "F.mish({0})", x)
    return None


ACTIVATIONS: Final[tuple[Idiom, ...]] = (
    relu6, relu, hard_sigmoid, hard_swish, silu, gelu, mish,
)  # fmt: skip


def _gated(layer: Layer, graph: Graph, gate_call: str, call: str) -> Layer | None:
    """A tensor times a function of it."""
    factors = graph.product(layer)
    if factors is None or factors[2] != 1.0:
        return None
    for x, gate in (factors[:2], factors[1::-1]):
        inner = graph.function(gate, gate_call)
        if inner is not None and inner.inputs == (x,):
            return _activation(layer, call, x)
    return None


def _is_tanh_argument(name: str, x: str, graph: Graph) -> bool:
    """Whether a tensor is √(2/π) · (x + 0.044715 x³)."""
    base, factor = graph.scaled(name)
    total = graph.inner(base)
    if (
        total is None
        or total.form.call != "{0} + {1}"
        or not is_near(factor, math.sqrt(2 / math.pi))
    ):
        return False
    if x not in total.inputs:
        return False
    other = total.inputs[1 - total.inputs.index(x)]
    cube, factor = graph.scaled(other)
    return is_near(factor, 0.044715) and _is_cube(cube, x, graph)


def _is_cube(name: str, x: str, graph: Graph) -> bool:
    layer = graph.inner(name)
    if layer is None:
        return False
    if layer.form.call == "{0} ** {=0}":
        return layer.inputs == (x,) and layer.slots == (3,)
    if layer.form.call != "{0} * {1}" or x not in layer.inputs:
        return False
    square = graph.inner(layer.inputs[1 - layer.inputs.index(x)])
    if square is None or square.inputs != (x,):
        return False
    is_power = square.form.call == "{0} ** {=0}" and square.slots == (2,)
    return is_power or square.form.call == "{0} * {0}"


def _is_sixth(slope: object) -> bool:
    return isinstance(slope, float) and is_near(slope, 1 / 6)


def _activation(last: Layer, call: str, x: str) -> Layer | None:
    return None if function_of(last) == call else made(last, Source(call), (x,), role="activation")
