"""Carry volumes from a scan's grid onto a model's and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from volunet.errors import ConfigError, ShapeError
from volunet.volumes.axes import Affine, Spacing3, array_affine, array_steps
from volunet.volumes.dtypes import smallest_label_dtype
from volunet.volumes.grid import Grid
from volunet.volumes.sampling import Sampling, plan_sampling, turned
from volunet.volumes.volume import Volume

ANY_ORIENTATION = "any"
"""Orientation that leaves the axes as they are."""

_SAME_SPACING = 1e-3
"""Relative; an axis whose spacing is this near to the wanted one is left as it is."""


def reorient(volume: Volume, orientation: str) -> Volume:
    """Permute and flip the axes so that i, j, k grow in given directions.

    Nothing is lost or copied: the array is a view, with negative strides where an axis is flipped.

    Args:
        volume: Any volume.
        orientation: Three letters such as ``"RAS"``.

    Raises:
        ConfigError: The orientation is not one of the 48.

    Example:
        >>> volume = Volume.of_array(np.zeros((4, 5, 6)), spacing_mm=(3.0, 1.0, 2.0))
        >>> turned = reorient(volume, "SLA")
        >>> turned.shape, turned.spacing_mm, turned.orientation
        ((5, 6, 4), (1.0, 2.0, 3.0), 'SLA')
    """
    order, flipped = array_steps(volume.affine, orientation)
    grid = _reoriented(volume.grid, orientation)
    return Volume(turned(volume.array, order, flipped), grid.affine, volume.source)


def plan_conform(grid: Grid, orientation: str, spacing_mm: Spacing3 | None) -> Grid:
    """The grid that `conform` gives, so that its size is known beforehand.

    The new size is the old extent divided by the new spacing, rounded, at least 1. The outer face
    of the first voxels stays where it is: the centre of new voxel 0 is half a new spacing inside.

    Args:
        grid: A scan's grid.
        orientation: Three letters such as ``"RAS"``, or ``"any"`` to leave the axes.
        spacing_mm: Voxel spacing in mm, (D, H, W) of the new orientation; None leaves it. An axis
            whose spacing is within 0.1 % of it is left exactly as it is.

    Raises:
        ConfigError: The orientation or a spacing is not one.

    Example:
        >>> from volunet.volumes.axes import affine_of
        >>> grid = plan_conform(Grid((10, 20, 20), affine_of((3.0, 1.0, 1.0))), "RAS", (1.0,) * 3)
        >>> grid.shape, float(grid.affine[2, 3])
        ((30, 20, 20), -1.0)
    """
    if orientation != ANY_ORIENTATION:
        grid = _reoriented(grid, orientation)
    if spacing_mm is None:
        return grid
    if not all(np.isfinite(value) and value > 0 for value in spacing_mm):
        raise ConfigError(
            "spacing_mm",
            f"{tuple(spacing_mm)}",
            "Each spacing is a number of millimetres above 0, (D, H, W).",
            "Give three such numbers, or None to keep the scan's spacing.",
        )
    ratios = np.divide(spacing_mm, grid.spacing_mm)
    ratios[np.abs(ratios - 1.0) <= _SAME_SPACING] = 1.0
    depth, height, width = (
        max(1, round(size / ratio)) for size, ratio in zip(grid.shape, ratios, strict=True)
    )
    steps = np.diag([*ratios, 1.0])
    steps[:3, 3] = 0.5 * ratios - 0.5
    affine = array_affine(array_affine(grid.affine) @ steps)
    return Grid((depth, height, width), affine, grid.num_channels)


def conform(volume: Volume, orientation: str, spacing_mm: Spacing3 | None) -> Volume:
    """Bring a scan onto a model's grid: axes turned, spacing changed by linear interpolation.

    Beyond the centres of the outermost voxels the edge value goes on. Nothing is smoothed: where
    the new spacing is more than twice the old one, voxels in between are skipped and fine
    structures alias.

    Args:
        volume: The scan.
        orientation: See `plan_conform`.
        spacing_mm: See `plan_conform`.

    Returns:
        float32, on the grid of `plan_conform`; exactly the scan's values on every axis whose
        spacing stays.

    Raises:
        ConfigError: The orientation or a spacing is not one.
    """
    return scores_onto(volume, plan_conform(volume.grid, orientation, spacing_mm))


def conform_labels(volume: Volume, orientation: str, spacing_mm: Spacing3 | None) -> Volume:
    """Bring a label map onto a model's grid.

    Each label is interpolated linearly as a map of 0 and 1, and the largest wins (the lowest label
    on a tie). Smoother borders than nearest neighbour gives, and never a label in between.

    Args:
        volume: The label map, of any real type, one channel or more.
        orientation: See `plan_conform`.
        spacing_mm: See `plan_conform`.

    Returns:
        The same type, on the grid of `plan_conform`.

    Raises:
        ConfigError: The orientation or a spacing is not one.
    """
    grid = plan_conform(volume.grid, orientation, spacing_mm)
    sampling = plan_sampling(volume.grid, grid)
    source = sampling.aligned(volume.array)
    result = np.empty((volume.num_channels, *grid.shape), volume.array.dtype)
    for labels, target in zip(source, result, strict=True):
        for slab in sampling.slabs(0):
            block = np.ascontiguousarray(labels[sampling.source_planes(0, slab)])
            present = np.unique(block)  # a label that is not in the slab cannot win there
            winners = _winners(len(present), _one_hot(sampling, block, present, slab))
            target[slab] = present[winners]
    return Volume(result, grid.affine, volume.source)


def labels_onto(scores: Volume, grid: Grid, values: Sequence[int]) -> Volume:
    """Turn a model's scores into a label map on the scan's own grid.

    The inverse of `conform`: each class is interpolated linearly and the largest score wins (the
    first class on a tie), a slab at a time, so that no other map of full size exists.
    Where no axis changes its spacing this is argmax and turning the axes, exactly.

    Args:
        scores: One channel a class, (K, D, H, W), on the model's grid.
        grid: The scan's grid.
        values: Value in the label map of each class, (K,).

    Returns:
        uint8, uint16 or int32, the first that holds every value, on `grid`.

    Raises:
        ShapeError: Not as many values as channels.
        VolumeError: The grids are not parallel, or a value is beyond int32.
    """
    if len(values) != scores.num_channels:
        raise ShapeError(
            str(scores.source or "scores"),
            f"{scores.num_channels} channels of scores, {len(values)} label values",
            "Each channel is one class and has one value.",
            "Pass the plan's label_values with the scores of its own model.",
        )
    numbers = np.array(values, dtype=smallest_label_dtype(tuple(values)))
    sampling = plan_sampling(scores.grid, grid)
    result = np.empty((1, *grid.shape), numbers.dtype)
    carry_labels(sampling, *_whole(sampling, scores, result), numbers)
    return Volume(result, grid.affine, scores.source)


def scores_onto(scores: Volume, grid: Grid) -> Volume:
    """Bring a map of probabilities, or any scan, onto a parallel grid by linear interpolation.

    Args:
        scores: Any real type, (C, D, H, W).
        grid: The grid to bring it onto.

    Returns:
        float32, (C, D, H, W), on `grid`; edge values beyond the outermost voxels.

    Raises:
        VolumeError: The grids are not parallel.
    """
    sampling = plan_sampling(scores.grid, grid)
    result = np.empty((scores.num_channels, *grid.shape), np.float32)
    sampling.carry(*_whole(sampling, scores, result))
    return Volume(result, grid.affine, scores.source)


def carry_labels(
    sampling: Sampling,
    source: NDArray[Any],
    target: NDArray[Any],
    axis: int,
    slab: slice,
    numbers: NDArray[Any],
) -> None:
    """Interpolate a slab of every class and write the label of the largest score into `target`.

    Args:
        sampling: From the scores' grid to the label map's.
        source: The aligned scores' planes of ``sampling.source_planes(axis, slab)``, (K, …).
        target: The slab of the label map, (1, …).
        axis: Axis of the label map that the slab is a part of, 0 to 2.
        slab: The planes, at least one.
        numbers: Label value of each class, (K,).
    """
    for piece, blocks, part in sampling.pieces(source, target, axis, slab):
        winners = _winners(len(numbers), _class_of(sampling, blocks, axis, piece))
        part[0] = numbers[winners]


def _whole(
    sampling: Sampling, volume: Volume, result: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], int, slice]:
    """The whole target as one slab along axis 0: what `Sampling.pieces` wants."""
    slab = slice(0, result.shape[1])
    needed = sampling.source_planes(0, slab)
    return sampling.aligned(volume.array)[:, needed], result, 0, slab


def _reoriented(grid: Grid, orientation: str) -> Grid:
    order, flipped = array_steps(grid.affine, orientation)
    steps = np.zeros((4, 4))
    steps[3, 3] = 1.0
    for new, (old, flip) in enumerate(zip(order, flipped, strict=True)):
        steps[old, new] = -1.0 if flip else 1.0
        steps[old, 3] = grid.shape[old] - 1 if flip else 0.0
    affine: Affine = array_affine(array_affine(grid.affine) @ steps)
    depth, height, width = (grid.shape[old] for old in order)
    return Grid((depth, height, width), affine, grid.num_channels)


def _winners(
    num_classes: int, score_of: Callable[[int], NDArray[np.float32]]
) -> NDArray[np.intp] | NDArray[np.uint16]:
    """Class with the largest score of each voxel, holding two maps of scores at a time."""
    best = score_of(0).copy()  # it may be the caller's own scores
    winners = np.zeros(best.shape, np.intp if num_classes > 65535 else np.uint16)
    for index in range(1, num_classes):
        score = score_of(index)
        better = score > best
        winners[better] = index
        np.maximum(best, score, out=best)
    return winners


def _one_hot(
    sampling: Sampling, block: NDArray[Any], present: NDArray[Any], slab: slice
) -> Callable[[int], NDArray[np.float32]]:
    return lambda index: sampling.sample((block == present[index]).astype(np.float32), 0, slab)


def _class_of(
    sampling: Sampling, blocks: NDArray[Any], axis: int, slab: slice
) -> Callable[[int], NDArray[np.float32]]:
    return lambda index: sampling.sample(blocks[index], axis, slab)
