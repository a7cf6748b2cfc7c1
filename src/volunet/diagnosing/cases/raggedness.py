"""How ragged a label's border is, by what a majority vote of the neighbours would change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_NEIGHBOURS = 27
"""A voxel and all that touch it."""


def measure_raggedness(classes: NDArray[np.uint8], num_classes: int) -> NDArray[np.float64]:
    """Share of a class that its own majority filter of 3×3×3 voxels takes away or adds.

    Smooth shapes lose little; a border whose voxels are drawn by lot loses about half of what was
    drawn. Thin shapes lose much too: compare a class with itself in other cases.

    Args:
        classes: Class indices, (D, H, W).
        num_classes: Classes, the background included.

    Returns:
        Changed voxels / voxels of the class, (K,); NaN for a class that is absent and for the
        background.
    """
    result = np.full(num_classes, np.nan)
    for index, box in enumerate(ndimage.find_objects(classes, num_classes - 1), start=1):
        if box is None:
            continue
        mask = np.pad(classes[box] == index, 1)
        # Integers, so that a vote of 13 to 14 is not lost to rounding.
        votes = mask.astype(np.int16)
        for axis in range(3):
            votes = ndimage.correlate1d(votes, [1, 1, 1], axis, mode="constant")
        changed = np.count_nonzero((2 * votes > _NEIGHBOURS) != mask)
        result[index] = changed / np.count_nonzero(mask)
    return result
