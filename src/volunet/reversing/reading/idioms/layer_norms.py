"""Layer norms that are written out: means, differences, squares and roots."""

from __future__ import annotations

import re
from typing import Final

from volunet.graph.operators import Source
from volunet.reversing.reading.idioms.graph import Graph, Idiom, made, numbers_of, slot_text
from volunet.reversing.reading.layers import Layer

_MEAN: Final = "torch.mean({0}, dim={=0}, keepdim=True)"


def layer_norm(layer: Layer, graph: Graph) -> Layer | None:
    """(x − mean) / √(mean((x − mean)²) + ε) over the last axes.

    Source:
        https://arxiv.org/abs/1607.06450
    """
    if layer.form.call == "{0} / {1}":
        difference, root = layer.inputs
        spread = _root_of(root, graph, inverse=False)
    elif layer.form.call == "{0} * {1}":
        difference, root = layer.inputs
        spread = _root_of(root, graph, inverse=True)
    else:
        return None
    if spread is None:
        return None
    variance, eps = spread
    squares = _mean_of(variance, graph)
    if squares is None:
        return None
    square = graph.inner(squares[0])
    is_square = square is not None and (
        square.form.call == "{0} * {0}"
        or (square.form.call == "{0} ** {=0}" and square.slots == (2,))
    )
    if square is None or not is_square:
        return None
    x = _centred(difference, squares[1], graph, readers=2)
    if x is None and square.inputs[0] != difference:
        # Some exporters subtract the mean twice.
        x = _centred(difference, squares[1], graph, readers=1)
        if x != _centred(square.inputs[0], squares[1], graph, readers=1):
            return None
    elif square.inputs != (difference,):
        return None
    shape = None if x is None else graph.shape(x)
    if x is None or shape is None:
        return None
    normed = numbers_of(shape[min(squares[1]) :])
    if squares[1] != tuple(range(min(squares[1]), len(shape))) or normed is None:
        return None
    module = f"nn.LayerNorm({normed}, eps={eps}, elementwise_affine=False)"
    return made(layer, Source("{module}({0})", module), (x,), role="normalisation")


LAYER_NORMS: Final[tuple[Idiom, ...]] = (layer_norm,)


def _root_of(name: str, graph: Graph, *, inverse: bool) -> tuple[str, str] | None:
    """A variance and the ε that is added to it before its root is taken."""
    root = graph.inner(name)
    if root is not None and inverse:
        is_inverse = root.form.call == "torch.reciprocal({0})" or (
            root.form.call == "{=0} / {0}" and root.slots == (1,)
        )
        root = graph.inner(root.inputs[0]) if is_inverse else None
    if root is None or not _is_root(root):
        return None
    total = graph.inner(root.inputs[0])
    shifted = graph.shifted(root.inputs[0])
    if total is None or shifted is None:
        return None
    slots = [slot for slot in total.slots if isinstance(slot, int | float)]
    return shifted[0], slot_text(slots[0]) if slots else repr(shifted[1])


def _is_root(layer: Layer) -> bool:
    is_power = layer.form.call == "{0} ** {=0}" and layer.slots == (0.5,)
    return is_power or layer.form.call == "torch.sqrt({0})"


def _mean_of(name: str, graph: Graph) -> tuple[str, tuple[int, ...]] | None:
    """What a mean is of, and its axes from the front."""
    layer = graph.inner(name)
    if layer is None or not re.fullmatch(re.escape(_MEAN), layer.form.call):
        return None
    axes = layer.slots[0]
    if not isinstance(axes, tuple):
        return None
    return layer.inputs[0], tuple(int(axis) for axis in axes)


def _centred(name: str, axes: tuple[int, ...], graph: Graph, readers: int) -> str | None:
    """The tensor that another one is without its mean."""
    layer = graph.inner(name, readers)
    if layer is None or layer.form.call != "{0} - {1}":
        return None
    x, mean = layer.inputs
    found = _mean_of(mean, graph)
    if found is None:  # one mean for two differences
        made_by = graph.inner(mean, 2)
        is_mean = made_by is not None and made_by.form.call == _MEAN
        found = (made_by.inputs[0], made_by.slots[0]) if is_mean and made_by is not None else None  # type: ignore[assignment]
    return x if found is not None and found == (x, axes) else None
