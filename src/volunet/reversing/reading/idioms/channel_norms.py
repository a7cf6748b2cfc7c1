"""Norms of channels that exporters write as an instance norm between two reshapes."""

from __future__ import annotations

from typing import Final

from volunet.graph.operators import Source
from volunet.graph.sizes import product
from volunet.graph.tensors import Shape
from volunet.reversing.reading.idioms.copies import is_reshape
from volunet.reversing.reading.idioms.graph import Graph, Idiom, made
from volunet.reversing.reading.layers import Layer


def group_norm(layer: Layer, graph: Graph) -> Layer | None:
    """A reshape of groups of channels to channels, an instance norm, and the reshape back.

    Scale and bias of the channels follow as a product and a sum, which `scales_and_biases` joins.

    Source:
        https://arxiv.org/abs/1803.08494
    """
    norm = graph.inner(layer.inputs[0]) if is_reshape(layer) and layer.inputs else None
    if (
        norm is None
        or not norm.form.is_module
        or not norm.form.module.startswith("nn.InstanceNorm")
    ):
        return None
    before = graph.inner(norm.inputs[0]) if norm.weights else None
    if before is None or not is_reshape(before):
        return None
    x = before.inputs[0]
    shape, grouped = graph.shape(x), before.shape
    if shape is None or grouped is None or layer.shape != shape or len(shape) < 2:
        return None
    channels, groups = shape[1], grouped[1]
    if (
        not _are_groups(shape, grouped)
        or not isinstance(channels, int)
        or not isinstance(groups, int)
    ):
        return None
    eps = norm.argument("eps")
    is_plain = graph.is_filled(norm.weights["weight"], 1) and graph.is_filled(
        norm.weights["bias"], 0
    )
    if is_plain:
        module = f"nn.GroupNorm({groups}, {channels}, eps={eps}, affine=False)"
        return made(layer, Source("{module}({0})", module), (x,), role="normalisation")
    if groups != channels or not 3 <= len(shape) <= 5:
        return None
    module = f"nn.InstanceNorm{len(shape) - 2}d({channels}, eps={eps}, affine=True)"
    return made(layer, Source("{module}({0})", module), (x,), norm.weights, "normalisation")


CHANNEL_NORMS: Final[tuple[Idiom, ...]] = (group_norm,)


def _are_groups(shape: Shape, grouped: Shape) -> bool:
    """Whether a shape is another one with its channels in groups, and the rest behind."""
    if len(grouped) < 3 or grouped[0] != shape[0] or product(grouped) != product(shape):
        return False
    channels, groups = shape[1], grouped[1]
    return (
        isinstance(channels, int)
        and isinstance(groups, int)
        and groups > 0
        and channels % groups == 0
        and product(shape[1:]) != groups  # of single elements, which PyTorch refuses
    )
