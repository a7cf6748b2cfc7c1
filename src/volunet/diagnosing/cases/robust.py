"""How far a case lies from the others, by measures that the outliers themselves hardly move."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

OUTLIER: Final = 3.5
"""Modified z-scores beyond this are potential outliers, as Iglewicz & Hoaglin recommend."""

_MAD_TO_DEVIATION: Final = 0.6745
"""Median absolute deviation of a normal distribution whose standard deviation is 1."""


def modified_z(values: NDArray[np.float64], least_spread: float) -> NDArray[np.float64]:
    """The modified z-score: 0.6745 (x − median) / MAD.

    Args:
        values: One a case; NaN where the case has none.
        least_spread: Standard deviation that is assumed at the least, in the unit of the values:
            cases that are all but alike would make an outlier of any difference.

    Returns:
        One score a value; NaN where the value is.

    Source:
        B. Iglewicz & D. Hoaglin, How to Detect and Handle Outliers (1993).

    Example:
        >>> modified_z(np.array([9.0, 10.0, 11.0, 40.0]), 0.0).round(1).tolist()
        [-1.0, -0.3, 0.3, 19.9]
    """
    middle, spread = middle_and_spread(values, least_spread)
    return np.asarray((values - middle) / spread)


def middle_and_spread(
    values: NDArray[np.float64], least_spread: float = 0.0
) -> tuple[float, float]:
    """The median, and the standard deviation that the median absolute deviation stands for.

    Args:
        values: NaN are left out; at least one is a number.
        least_spread: The answer's lower bound.
    """
    known = values[np.isfinite(values)]
    middle = float(np.median(known))
    deviation = float(np.median(np.abs(known - middle))) / _MAD_TO_DEVIATION
    return middle, max(deviation, least_spread, float(np.finfo(np.float64).tiny))


def median_of_known(values: NDArray[np.float64]) -> float:
    """Median of what is not NaN; 0 where nothing is known."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else 0.0
