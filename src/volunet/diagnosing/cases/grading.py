"""Cases of which a fault is sure, and those of which it is likely."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.finding import Certainty


def grade(
    sure: NDArray[np.bool_], likely: NDArray[np.bool_]
) -> list[tuple[NDArray[np.bool_], Certainty]]:
    """The groups that findings are made of; those without a case are left out.

    Args:
        sure: Cases whose fault has ``high`` certainty, (N,).
        likely: Cases whose fault has ``medium`` certainty, unless it is sure, (N,).

    Example:
        >>> grade(np.array([True, False]), np.array([True, False]))
        [(array([ True, False]), 'high')]
    """
    groups: list[tuple[NDArray[np.bool_], Certainty]] = [
        (sure, "high"),
        (np.asarray(likely & ~sure), "medium"),
    ]
    return [(cases, certainty) for cases, certainty in groups if cases.any()]
