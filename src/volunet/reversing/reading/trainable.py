"""Opening folded batch norms again: identity batch norms behind the convolutions.

Exporters fold a batch norm into the convolution in front of it. What it did is in the weights; to
train on, a network wants it back. One that changes nothing: scale 1, shift 0, mean 0, and a
variance of 1 − ε, so that its root with ε added is 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from volunet.graph.operators import Source
from volunet.reversing.reading.layers import Layer, Weight, form_of, is_convolution
from volunet.reversing.reading.nodes import Reading
from volunet.reversing.reading.ordering import in_order

_EPSILON: Final = 1e-5


def with_batch_norms(reading: Reading) -> Reading:
    """A network with a batch norm behind each convolution that has no norm, but the last."""
    readers: dict[str, list[Layer]] = {}
    for layer in reading.layers:
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer)
    ordered = in_order(reading.layers, reading.outputs)
    convolutions = [layer for layer in ordered if is_convolution(layer.form)]
    last = convolutions[-1].output if convolutions else ""
    renamed: dict[str, str] = {}
    layers: list[Layer] = []
    for layer in reading.layers:
        current = replace(layer, inputs=tuple(renamed.get(name, name) for name in layer.inputs))
        layers.append(current)
        follows = readers.get(layer.output, [])
        has_norm = any(reader.role == "normalisation" for reader in follows)
        if layer.output == last or has_norm or not is_convolution(layer.form):
            continue
        layers.append(_norm(layer))
        renamed[layer.output] = layers[-1].output
    outputs = tuple(renamed.get(name, name) for name in reading.outputs)
    shapes = {**reading.shapes, **{b: reading.shapes.get(a) for a, b in renamed.items()}}
    return replace(reading, layers=tuple(layers), outputs=outputs, shapes=shapes)


def _norm(layer: Layer) -> Layer:
    channels = layer.argument("out_channels")
    if not isinstance(channels, int):
        raise TypeError(f"a convolution of {channels!r} channels")
    dimensions = layer.form.module[-2]
    names = ("weight", "bias", "running_mean", "running_var")
    form, slots = form_of(
        Source(
            "{module}({0})",
            f"nn.BatchNorm{dimensions}d({channels})",
            dict.fromkeys(names, 0),
        )
    )
    values = dict(zip(names, (1.0, 0.0, 0.0, 1.0 - _EPSILON), strict=True))
    weights = {name: Weight(shape=(channels,), fill=value) for name, value in values.items()}
    return Layer(
        form, slots, (layer.output,), f"{layer.output} normalised", layer.shape, weights,
        layer.node, "normalisation",
    )  # fmt: skip
