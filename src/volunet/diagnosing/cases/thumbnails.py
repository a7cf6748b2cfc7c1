"""One small grid for all cases of a data set, so that their voxels can be compared.

A thumbnail stretches the whole scan onto the grid: voxel (d, h, w) of it is the same place, in
fractions of the scan, in every case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from volunet.volumes.axes import Shape3, Spacing3

THUMBNAIL_VOXELS: Final = 16_384
"""About 25³: with its image (float16) and its labels a case takes 50 kB, 1,000 cases 50 MB."""

LARGEST_AXIS: Final = 96


def plan_thumbnail(extents_mm: Sequence[Spacing3]) -> Shape3:
    """The grid of the thumbnails: `THUMBNAIL_VOXELS` in the proportions of the median scan.

    Args:
        extents_mm: Size of each scan in mm, (D, H, W), in one orientation.

    Example:
        >>> plan_thumbnail([(100.0, 200.0, 100.0)])
        (20, 40, 20)
    """
    median = np.median(np.asarray(extents_mm, np.float64), axis=0)
    edge_mm = float(median.prod() / THUMBNAIL_VOXELS) ** (1 / 3)
    depth, height, width = np.clip(np.rint(median / edge_mm), 1, LARGEST_AXIS).astype(int).tolist()
    return depth, height, width


def shrink_image(array: NDArray[Any], shape: Shape3) -> NDArray[np.float32]:
    """Average the voxels in each cell of a grid.

    Args:
        array: Intensities, (C, D, H, W).
        shape: Cells of the grid, which spans the whole array.

    Returns:
        (C, *shape). A voxel on a border between cells counts in each with its share.
    """
    depth, height, width = (
        _shares(size, cells) for size, cells in zip(array.shape[1:], shape, strict=True)
    )
    # Plane by plane: all at once, a scan whose axes were turned is copied whole.
    planes = [height @ np.asarray(plane, np.float32) @ width.T for plane in array.swapaxes(0, 1)]
    result = np.tensordot(depth, np.stack(planes), (1, 0))
    return np.ascontiguousarray(result.swapaxes(0, 1))


def shrink_labels(classes: NDArray[np.uint8], shape: Shape3) -> NDArray[np.uint8]:
    """The class in the middle of each cell of a grid.

    Args:
        classes: Class indices, (D, H, W).
        shape: Cells of the grid, which spans the whole array.
    """
    places = [
        ((np.arange(cells) + 0.5) * size / cells).astype(int)
        for size, cells in zip(classes.shape, shape, strict=True)
    ]
    return np.ascontiguousarray(classes[np.ix_(*places)])


def standardise(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each channel clipped to its 0.5 and 99.5 percentiles, with mean 0 and deviation 1.

    Scans differ in unit and scale; what is left is what they show. A constant channel is 0.

    Args:
        array: (C, D, H, W).
    """
    flat = array.reshape(len(array), -1)
    low, high = np.percentile(flat, (0.5, 99.5), axis=1)[:, :, None]
    flat = np.clip(flat, low, high)
    centred = flat - flat.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    scaled = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
    return np.asarray(scaled.reshape(array.shape), np.float32)


def _shares(size: int, cells: int) -> NDArray[np.float32]:
    """Share of each of `size` voxels in the mean of each cell, (cells, size)."""
    edges = np.linspace(0.0, size, cells + 1)
    starts = np.arange(size)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return np.asarray(np.maximum(overlap, 0.0) * cells / size, np.float32)
