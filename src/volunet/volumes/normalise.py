"""Intensity normalisation of arrays, for training and for model files that do not do it themselves.

`volunet.nets.deployed` states the same rule as graph operators; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from volunet.plan import FLATNESS, SMALLEST_STD, Normalisation


def normalise(array: NDArray[Any], rules: Sequence[Normalisation]) -> NDArray[np.float32]:
    """Normalise the channels of one scan.

    Args:
        array: Raw intensities, (C, D, H, W).
        rules: One rule a channel, see `Normalisation`.

    Returns:
        (C, D, H, W), float32.

    Example:
        >>> x = np.array([[[[0.0, 2.0]]]])
        >>> normalise(x, [Normalisation(kind="zscore")]).ravel().tolist()
        [-1.0, 1.0]
    """
    out = np.empty(array.shape, np.float32)
    for channel, rule in enumerate(rules):
        x = array[channel].astype(np.float32)
        if rule.kind == "zscore":
            mean = float(x.mean(dtype=np.float64))
            std = float(x.std(dtype=np.float64))
            x = (x - mean) / max(std, FLATNESS * abs(mean), SMALLEST_STD)
        elif rule.kind == "clip_zscore":
            x = (np.clip(x, rule.low, rule.high) - rule.mean) / rule.std
        out[channel] = x
    return out
