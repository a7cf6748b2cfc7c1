"""What of a label map is lost when it is brought onto the model's grid, as training does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from volunet.diagnosing.cases.planes import count_values, slabs
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
    before, after = count_values(classes, num_classes), count_values(small, num_classes)
    share = np.full(num_classes, np.nan)
    present = np.flatnonzero(before[1:]) + 1
    share[present] = after[present] / before[present] * ratios.prod()
    objects, lost = np.zeros((2, num_classes), np.int64)
    boxes, small_boxes = (ndimage.find_objects(each, num_classes - 1) for each in (classes, small))
    for index in present.tolist():
        box = _widened(boxes[index - 1], classes.shape)
        parts, sizes = _parts(classes[box] == index)
        survived = np.zeros(len(sizes), np.bool_)
        if small_boxes[index - 1] is not None:
            for places in _places(small, small_boxes[index - 1], index, classes.shape):
                survived[_values_at(parts, places - [part.start for part in box])] = True
        large = sizes >= DEBRIS_VOXELS
        objects[index] = np.count_nonzero(large)
        lost[index] = np.count_nonzero(large & ~survived)
    return Losses(share, objects, lost)


def _widened(box: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A box and the voxel around it, by which `_parts` widens what lies in it."""
    return tuple(
        slice(max(0, part.start - 1), min(size, part.stop + 1))
        for part, size in zip(box, shape, strict=True)
    )


def _parts(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Connected parts, widened by a voxel, and their sizes; part 0 is the rest, of size 0."""
    parts = np.zeros(mask.shape, np.int32)
    count = ndimage.label(mask, np.ones((3, 3, 3)), output=parts)
    sizes = count_values(parts, count + 1)
    sizes[0] = 0
    # The middle of a large voxel may lie just beside the part that it stands for.
    widened = ndimage.maximum_filter(parts, 3)
    np.copyto(widened, parts, where=mask)
    return widened, sizes


def _places(
    small: NDArray[np.uint8], box: tuple[slice, ...], index: int, shape: tuple[int, ...]
) -> Iterator[NDArray[np.intp]]:
    """Voxels of another grid over the same extent in which the middles of a class' voxels lie.

    Args:
        small: Class indices.
        box: Where the class lies in them.
        index: The class.
        shape: Of the other grid.

    Yields:
        (N, 3), a few planes of the box at a time.
    """
    first = np.array([part.start for part in box])
    for planes in slabs(small[box].shape):
        found = np.argwhere(small[box][planes] == index) + first + [planes.start, 0, 0]
        yield np.minimum(((found + 0.5) * shape / small.shape).astype(np.intp), np.array(shape) - 1)


def _values_at(parts: NDArray[np.int32], places: NDArray[np.intp]) -> NDArray[np.int32]:
    """The values at those of some places (N, 3) that lie in an array."""
    inside = ((places >= 0) & (places < parts.shape)).all(axis=1)
    return np.asarray(parts[tuple(places[inside].T)])
