"""Intensity normalisation of arrays, for training and for model files that do not do it themselves.

`volunet.nets.deployed` states the same rule as graph operators; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from volunet.errors import ConfigError
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
        out[channel] = normalise_channel(x, rule, moments_of(x) if needs_moments(rule) else None)
    return out


class Moments(NamedTuple):
    """Intensities of one channel of one whole scan, as ``zscore`` reads them.

    Attributes:
        mean: Their mean.
        std: Their standard deviation about it.
    """

    mean: float
    std: float


def needs_moments(rule: Normalisation) -> bool:
    """Whether a rule reads the mean and standard deviation of the scan itself."""
    return rule.kind == "zscore"


def moments_of(x: NDArray[np.float32]) -> Moments:
    """Mean and standard deviation of an array, in float64."""
    return Moments(float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64)))


def normalise_channel(
    x: NDArray[np.float32], rule: Normalisation, moments: Moments | None
) -> NDArray[np.float32]:
    """Normalise one channel, or a part of it.

    Args:
        x: Raw intensities, any shape.
        rule: See `Normalisation`.
        moments: Of the whole channel; None where the rule does not need them, see `needs_moments`.

    Returns:
        The shape of `x`; `x` itself where the rule is ``none``.

    Raises:
        ConfigError: The rule needs the moments and there are none.
    """
    if needs_moments(rule):
        if moments is None:
            raise ConfigError(
                "normalisation",
                f"{rule.kind} without the scan's mean and standard deviation",
                "They are taken over the whole scan first.",
                "Pass what volunet.volumes.streamed.measure answers for the same rules.",
            )
        mean, std = moments
        return (x - mean) / max(std, FLATNESS * abs(mean), SMALLEST_STD)
    if rule.kind == "clip_zscore":
        return (np.clip(x, rule.low, rule.high) - rule.mean) / rule.std
    return x
