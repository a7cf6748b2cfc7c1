"""How ragged a label's border is: specks and pits of single voxels, which no pen draws."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from volunet.diagnosing.cases.planes import count_values

GAINSAYERS: Final = 5
"""Of a voxel's 6 neighbours by face. A vote of 4 to 2 changes corners, which healthy labels have
many of: it tells noise in 15 % of the border's voxels by 8 deviations, a vote of 5 by 25."""

LEAST_VOXELS: Final = 200


def measure_raggedness(classes: NDArray[np.uint8], num_classes: int) -> NDArray[np.float64]:
    """Voxels that `GAINSAYERS` of their neighbours by face gainsay, beside a class' voxels.

    Those inside the class (specks) and those outside (pits) count alike. Thin shapes have many:
    compare a class with itself in other cases. Parts of fewer than `LEAST_VOXELS` are left out: of
    so small a ball most of the surface is corners.

    Args:
        classes: Class indices, (D, H, W).
        num_classes: Classes, the background included.

    Returns:
        Gainsaid voxels / voxels of the class, (K,); NaN for a class of small parts alone, one that
        is absent and the background.
    """
    result = np.full(num_classes, np.nan)
    for index, box in enumerate(ndimage.find_objects(classes, num_classes - 1), start=1):
        if box is None:
            continue
        parts = np.zeros([part.stop - part.start for part in box], np.int32)
        count = ndimage.label(classes[box] == index, np.ones((3, 3, 3)), output=parts)
        large = count_values(parts, count + 1) >= LEAST_VOXELS
        large[0] = False
        if not large.any():
            continue
        mask = np.pad(large[parts], 1)
        alike = np.zeros(mask.shape, np.int8)
        for axis in range(3):
            # The pad is of the background, so that nothing comes round from the other side.
            alike += np.roll(mask, 1, axis)
            alike += np.roll(mask, -1, axis)
        specks = mask & (alike <= 6 - GAINSAYERS)
        pits = ~mask & (alike >= GAINSAYERS)
        result[index] = np.count_nonzero(specks | pits) / np.count_nonzero(mask)
    return result
