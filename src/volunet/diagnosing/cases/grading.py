"""Cases of which a fault is sure, those of which it is likely, and those of which it is a hint."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.finding import CERTAINTIES, Certainty


def grade(*levels: NDArray[np.bool_]) -> list[tuple[NDArray[np.bool_], Certainty]]:
    """The groups that findings are made of; those without a case are left out.

    Args:
        *levels: Cases whose fault has ``high`` certainty, (N,); then those with ``medium`` and with
            ``low``, as far as given. A case counts in the first that it is in.

    Example:
        >>> grade(np.array([True, False]), np.array([True, False]))
        [(array([ True, False]), 'high')]
    """
    groups: list[tuple[NDArray[np.bool_], Certainty]] = []
    told = np.zeros_like(levels[0])
    for cases, certainty in zip(levels, CERTAINTIES, strict=False):
        left = np.asarray(cases & ~told)
        told = told | left
        if left.any():
            groups.append((left, certainty))
    return groups
