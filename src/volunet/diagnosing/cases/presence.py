"""Whether images show classes that their labels have not, by what the other cases say (`atlas`)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.cases.study import Study

KNOWN_DICE: Final = 0.5
"""Usual Dice of a class below which the other cases do not know it well enough: of a lesion or a
gallbladder they know where it may lie, and would see it in any image."""

LOOKS_PRESENT: Final = 0.5
"""Share of the usual volume of classes that the other cases must see in an image."""

NEARLY_ALL: Final = 0.75
"""Share of the cases that have a class from which one without it is strange."""


def share_seen(
    study: Study, wanted: NDArray[np.bool_], having: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Share of some classes' usual volume that the other cases see in each image.

    Args:
        study: The cases.
        wanted: The classes, (K − 1,); those that the other cases do not know well are left out.
        having: The cases that have them, (N,), whose median is the usual volume.

    Returns:
        (N,); NaN where the other cases know none of the classes, or no case has them.
    """
    if not study.atlas or not having.any():
        return np.full(len(study.cases), np.nan)
    known = wanted & (study.class_dice >= KNOWN_DICE)
    volumes = np.array([fit.expected[1:][known].sum() for fit in study.atlas])
    usual = float(np.median(volumes[having]))
    return volumes / usual if usual else np.full(len(volumes), np.nan)
