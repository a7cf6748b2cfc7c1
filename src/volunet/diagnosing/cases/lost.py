"""What of a label map is lost when it is brought onto the model's grid, as training does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from volunet.volumes import Volume, conform_labels, reorient
from volunet.volumes.axes import Spacing3

DEBRIS_VOXELS: Final = 4
"""Parts of fewer voxels are specks that a pen left; that they vanish is no loss."""

_SAME_SPACING: Final = 1e-3
"""Relative; what `plan_conform` leaves as it is."""


@dataclass(frozen=True, eq=False)
class Losses:
    """What resampling keeps.

    Attributes:
        volume_kept: For each class its volume in mm³ behind over that before, (K,); NaN for a class
            that is absent and for the background.
        objects: For each class its connected parts of at least `DEBRIS_VOXELS` before, (K,).
        objects_lost: For each class those of which no voxel is left, (K,).
    """

    volume_kept: NDArray[np.float64]
    objects: NDArray[np.int64]
    objects_lost: NDArray[np.int64]


def measure_losses(
    label: Volume, num_classes: int, orientation: str, spacing_mm: Spacing3
) -> Losses | None:
    """Bring a label map onto the model's grid and compare.

    Args:
        label: Class indices, uint8, (1, D, H, W).
        num_classes: Classes, the background included.
        orientation: The model's.
        spacing_mm: Spacing of the model's grid, (D, H, W).

    Returns:
        None where no axis gets coarser: nothing can be lost. Axes that get finer are left as they
        are, which keeps a scan in a wrong unit from growing a thousandfold.
    """
    turned = reorient(label, orientation)
    depth, height, width = np.maximum(spacing_mm, turned.spacing_mm).tolist()
    ratios = np.divide((depth, height, width), turned.spacing_mm)
    if (ratios <= 1.0 + _SAME_SPACING).all():
        return None
    kept = conform_labels(turned, orientation, (depth, height, width))
    classes, small = turned.array[0], kept.array[0]
    before = np.bincount(classes.reshape(-1), minlength=num_classes)
    after = np.bincount(small.reshape(-1), minlength=num_classes)
    share = np.full(num_classes, np.nan)
    present = np.flatnonzero(before[1:]) + 1
    share[present] = after[present] / before[present] * ratios.prod()
    objects, lost = np.zeros((2, num_classes), np.int64)
    for index in present:
        parts, sizes = _parts(classes == index)
        survived = np.zeros(len(sizes), np.bool_)
        survived[parts[_places(small == index, classes.shape)]] = True
        large = sizes >= DEBRIS_VOXELS
        objects[index] = np.count_nonzero(large)
        lost[index] = np.count_nonzero(large & ~survived)
    return Losses(share, objects, lost)


def _parts(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Connected parts, widened by a voxel, and their sizes; part 0 is the rest, of size 0."""
    parts = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, np.ones((3, 3, 3)), output=parts)
    sizes = np.bincount(parts.reshape(-1))
    sizes[0] = 0
    # The middle of a large voxel may lie just beside the part that it stands for.
    return np.where(mask, parts, ndimage.maximum_filter(parts, 3)), sizes


def _places(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> tuple[NDArray[np.intp], ...]:
    """Voxels of another grid over the same extent in which the middles of set voxels lie."""
    return tuple(
        np.minimum(((found + 0.5) * size / own).astype(np.intp), size - 1)
        for found, size, own in zip(np.nonzero(mask), shape, mask.shape, strict=True)
    )
