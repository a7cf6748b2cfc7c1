"""The values of a network's parameters under the names that its source gives them."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from volunet.reversing.reading.constants import Constants
from volunet.reversing.reading.layers import Layer, Weight

Array = NDArray[Any]


def state_of(paths: Iterable[tuple[str, Layer]], constants: Constants) -> dict[str, Array]:
    """The state dict of a written network.

    Args:
        paths: The path of each layer.
        constants: The file's weights.

    Returns:
        Name of a parameter or buffer → its values, C-ordered.
    """
    state: dict[str, Array] = {}
    for path, layer in paths:
        for name, weight in layer.weights.items():
            state[f"{path}.{name}" if name else path] = _values(weight, constants)
        if layer.form.module.startswith("nn.BatchNorm"):
            state[f"{path}.num_batches_tracked"] = np.zeros((), dtype=np.int64)
    return state


def count_parameters(paths: Iterable[tuple[str, Layer]], constants: Constants) -> int:
    """How many numbers of a network are learned: its parameters, not its buffers."""
    return sum(
        constants.size(weight.tensor) if weight.shape is None else prod(weight.shape)
        for _, layer in paths
        for name, weight in layer.weights.items()
        if not name.startswith("running_")
    )


def _values(weight: Weight, constants: Constants) -> Array:
    if weight.fill is not None:
        return np.full(weight.shape or (), weight.fill, dtype=np.float32)
    values = constants.value(weight.tensor)
    if weight.transposed:
        values = values.swapaxes(0, 1)
    if weight.shape is not None:
        flat = values.reshape(-1)  # a slope for all channels stands for each of them
        values = np.broadcast_to(flat, weight.shape) if flat.size == 1 else values
        values = values.reshape(weight.shape)
    if values.dtype.kind == "f" and values.dtype != np.float32:
        values = values.astype(np.float32)
    return np.ascontiguousarray(values)
