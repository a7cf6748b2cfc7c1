"""Local response normalisation, which PyTorch's exporters write as an average pooling."""

from __future__ import annotations

from typing import Final

from volunet.graph.operators import Source
from volunet.graph.sizes import product
from volunet.reversing.reading.idioms.copies import is_reshape
from volunet.reversing.reading.idioms.graph import Graph, Idiom, made
from volunet.reversing.reading.idioms.paddings import per_axis, sides_of
from volunet.reversing.reading.layers import Layer


def response_norm(layer: Layer, graph: Graph) -> Layer | None:
    """LRN, x / (k + α · mean of x² over neighbouring channels)^β.

    Source:
        https://docs.pytorch.org/docs/stable/generated/torch.nn.LocalResponseNorm.html
    """
    if layer.form.call != "{0} / {1}":
        return None
    x, divisor = layer.inputs
    power = graph.inner(divisor)
    shifted = None if power is None else graph.shifted(power.inputs[0])
    if power is None or shifted is None or power.form.call != "{0} ** {=0}":
        return None
    base, alpha = graph.scaled(shifted[0])
    pool = _behind_reshapes(base, graph)
    if pool is None or not pool.form.module.startswith("nn.AvgPool"):
        return None
    window = _window(pool, graph)
    if window is None:
        return None
    size, name = window
    square = _behind_reshapes(name, graph)
    if square is None or square.inputs != (x,) or not _is_square(square):
        return None
    reshaped, shape = graph.shape(name), graph.shape(x)
    if reshaped is None or shape is None or reshaped[:3] != (shape[0], 1, shape[1]):
        return None
    if product(reshaped) != product(shape):
        return None
    numbers = {"alpha": alpha, "beta": power.slots[0], "k": shifted[1]}
    texts = [f"{name}={value:.7g}" for name, value in numbers.items()]
    module = f"nn.LocalResponseNorm({', '.join([str(size), *texts])})"
    return made(layer, Source("{module}({0})", module), (x,), role="normalisation")


RESPONSE_NORMS: Final[tuple[Idiom, ...]] = (response_norm,)


def _behind_reshapes(name: str, graph: Graph) -> Layer | None:
    """The layer that makes a tensor's elements, which may be arranged in another way since."""
    layer = graph.inner(name)
    while layer is not None and is_reshape(layer):
        layer = graph.inner(layer.inputs[0])
    return layer


def _is_square(layer: Layer) -> bool:
    is_power = layer.form.call == "{0} ** {=0}" and layer.slots == (2,)
    return is_power or layer.form.call == "{0} * {0}"


def _window(pool: Layer, graph: Graph) -> tuple[int, str] | None:
    """How many channels a pooling of axis 2 takes together, as PyTorch pads it, and of what."""
    if not pool.form.is_module or pool.shape is None or pool.argument("ceil_mode") is not False:
        return None
    axes = len(pool.shape) - 2
    kernel = per_axis(pool.argument("kernel_size"), axes)
    stride = pool.argument("stride")
    inner = per_axis(pool.argument("padding"), axes)
    if stride != 1 and stride != (1,) * axes:
        return None
    if kernel is None or inner is None or any(k != 1 for k in kernel[1:]) or any(inner[1:]):
        return None
    size, name = kernel[0], pool.inputs[0]
    begin, end = inner[0], inner[0]
    if begin and pool.argument("count_include_pad") is not True:
        return None
    pad = graph.inner(name)
    sides = None if pad is None else sides_of(pad, axes + 2)
    if pad is not None and sides is not None:
        if sides[1] != 0 or any(pair != (0, 0) for i, pair in enumerate(sides[0]) if i != 2):
            return None
        begin, end, name = begin + sides[0][2][0], end + sides[0][2][1], pad.inputs[0]
    return (size, name) if (begin, end) == (size // 2, (size - 1) // 2) else None
