"""Products and sums with weights behind a norm or a linear layer, which are its own weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from volunet.reversing.reading.idioms.graph import Graph, Idiom, numbers_of, with_arguments
from volunet.reversing.reading.layers import Layer, Weight

_WEIGHTED: Final = ("nn.Linear", "nn.Conv", "nn.ConvTranspose")


def scale(layer: Layer, graph: Graph) -> Layer | None:
    """A norm without weights, times a weight."""
    if layer.form.call not in ("{0} * {module}", "{module} * {0}"):
        return None
    norm = graph.inner(layer.inputs[0])
    if norm is None or norm.weights or not norm.form.is_module:
        return None
    weight = _fitting(layer, norm, graph)
    if weight is None:
        return None
    if norm.form.module == "nn.LayerNorm":
        changed = with_arguments(norm, elementwise_affine=True, bias=False)
        return _with_weights(changed, layer, {"weight": weight})
    if norm.form.module == "nn.GroupNorm":
        bias = Weight(shape=weight.shape, fill=0.0)
        changed = with_arguments(norm, affine=True)
        return _with_weights(changed, layer, {"weight": weight, "bias": bias})
    return None


def bias(layer: Layer, graph: Graph) -> Layer | None:
    """A norm without a bias, or a linear layer or a convolution without one, plus a weight."""
    if layer.form.call not in ("{0} + {module}", "{module} + {0}", "{0} + {=0}", "{=0} + {0}"):
        return None
    before = graph.inner(layer.inputs[0])
    if before is None or "weight" not in before.weights or not before.form.is_module:
        return None
    weights = {**before.weights}
    if before.form.module == "nn.GroupNorm":
        if weights["bias"].fill != 0.0:
            return None
    elif before.argument("bias") is not False or not (
        before.form.module == "nn.LayerNorm" or before.form.module.startswith(_WEIGHTED)
    ):
        return None
    fitting = _fitting(layer, before, graph)
    if fitting is None:
        return None
    weights["bias"] = fitting
    is_group_norm = before.form.module == "nn.GroupNorm"
    changed = before if is_group_norm else with_arguments(before, bias=True)
    return _with_weights(changed, layer, weights)


SCALES_AND_BIASES: Final[tuple[Idiom, ...]] = (scale, bias)


def _fitting(layer: Layer, before: Layer, graph: Graph) -> Weight | None:
    """The weight of a product or a sum as a parameter of the layer before; None if it is none.

    It has a number for each of that layer's channels, or normed elements, and 1 on other axes.
    """
    wanted = _parameter_shape(before)
    if wanted is None or before.shape is None or layer.shape != before.shape:
        return None
    if layer.form.module != "nn.Parameter":
        number = graph.number(layer)
        return Weight(shape=wanted, fill=number) if wanted == (1,) and number is not None else None
    own = layer.slots[0]
    if not isinstance(own, tuple):
        return None
    rank = len(before.shape)
    axes = range(rank - len(wanted), rank) if _is_last(before) else (1,)
    full = [1] * rank
    for axis, size in zip(axes, wanted, strict=True):
        full[axis] = size
    padded = [1] * (rank - len(own)) + [int(size) for size in own]
    if padded != full:
        return None
    return Weight(layer.weights[""].tensor, shape=wanted)


def _parameter_shape(layer: Layer) -> tuple[int, ...] | None:
    """The shape of a layer's bias."""
    if layer.form.module == "nn.LayerNorm":
        shape = layer.argument("normalized_shape")
        if isinstance(shape, int):
            return (shape,)
        return tuple(int(size) for size in shape) if isinstance(shape, tuple) else None
    for name in ("num_channels", "out_features", "out_channels"):
        if name in layer.form.arguments:
            return numbers_of((layer.argument(name),))  # type: ignore[arg-type]
    return None


def _is_last(layer: Layer) -> bool:
    return layer.form.module in ("nn.LayerNorm", "nn.Linear")


def _with_weights(layer: Layer, last: Layer, weights: dict[str, Weight]) -> Layer:
    """A layer with other weights, in the place of the last one of an idiom."""
    names: Sequence[str] = tuple(weights)
    return replace(
        layer,
        form=replace(layer.form, weights=tuple(names)),
        output=last.output,
        shape=last.shape,
        weights=weights,
        node=last.node,
    )
