"""Linear interpolation between two parallel grids, one slab of planes at a time.

Grids that differ only in axis order, direction, spacing and offset (and those are the only ones
between a scan and a model) are resampled axis by axis: three 1D interpolations, exact where voxels
coincide, right for sheared grids too, and a slab needs no map of full size beside the result.
A slab is a run of planes along any axis of the target, and its numbers are the whole target's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from volunet.errors import VolumeError
from volunet.volumes.axes import array_affine
from volunet.volumes.grid import Grid

_SLAB_VOXELS = 1 << 21
"""Voxels of a slab: 8 MiB as float32, small enough that its passes stay near the caches."""

_SNAP_VOXELS = 1e-4
"""An axis whose positions are all this near to whole voxels needs no interpolation."""

_SKEW_VOXELS = 0.05
"""Grids that drift apart by more than this across the volume are not parallel."""


@dataclass(frozen=True)
class _Axis:
    """Where the voxels of one target axis lie on its source axis.

    Attributes:
        lower: Index of the source voxel below, (n,).
        weight: Share of the voxel above, (n,) float32; None where positions are whole.
        ratio: Target voxels for each source voxel.
    """

    lower: NDArray[np.intp]
    weight: NDArray[np.float32] | None
    ratio: float

    @property
    def reach(self) -> int:
        """Source voxels that a target voxel needs above its lower one."""
        return 0 if self.weight is None else 1

    def part(self, slab: slice) -> _Axis:
        """The positions of some target voxels, counted from the lower voxel of the first."""
        weight = None if self.weight is None else self.weight[slab]
        return _Axis(self.lower[slab] - self.lower[slab.start], weight, self.ratio)


@dataclass(frozen=True)
class Sampling:
    """How arrays of one grid are carried onto another; build it with `plan_sampling`.

    Attributes:
        order: For each target axis of (D, H, W) the source axis that it follows.
        flipped: Whether it runs against it.
        axes: Positions along it.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    axes: tuple[_Axis, _Axis, _Axis]

    def aligned(self, array: NDArray[Any]) -> NDArray[Any]:
        """View a source array (C, D, H, W) with its axes in the target's order and direction."""
        return turned(array, self.order, self.flipped)

    @property
    def only_turns(self) -> bool:
        """Whether the target's voxels are the source's, one for one: nothing to interpolate."""
        return all(
            axis.ratio == 1.0
            and axis.weight is None
            and np.array_equal(axis.lower, np.arange(len(axis.lower)))
            for axis in self.axes
        )

    def slabs(self, axis: int, within: slice | None = None) -> Iterator[slice]:
        """Target planes along an axis, in slabs of about 2 million voxels.

        Args:
            axis: Target axis, 0 to 2.
            within: The planes to cover; None covers all.
        """
        sizes = [len(positions.lower) for positions in self.axes]
        planes = max(1, _SLAB_VOXELS * sizes[axis] // math.prod(sizes))
        within = within or slice(0, sizes[axis])
        for start in range(within.start, within.stop, planes):
            yield slice(start, min(start + planes, within.stop))

    def source_planes(self, axis: int, slab: slice) -> slice:
        """Planes of the aligned source that a slab of target planes along the same axis needs."""
        positions = self.axes[axis]
        lower = positions.lower[slab]
        return slice(int(lower[0]), int(lower[-1]) + positions.reach + 1)

    def planes_within(self, axis: int, start: int, stop: int) -> slice:
        """Target planes that planes [start, stop) of the aligned source suffice for."""
        positions = self.axes[axis]
        first, last = np.searchsorted(positions.lower, (start, stop - positions.reach))
        return slice(int(first), int(max(first, last)))

    def planes_across(self, axis: int, seam: int) -> slice:
        """Target planes that need planes seam − 1 and seam of the aligned source, both."""
        positions = self.axes[axis]
        first, last = np.searchsorted(positions.lower, (seam - positions.reach, seam))
        return slice(int(first), int(last))

    def sample(self, block: NDArray[Any], axis: int, slab: slice) -> NDArray[np.float32]:
        """Interpolate one slab of one channel.

        The numbers are those of the whole target, whatever the axis and the slab: each depends on
        its own two source voxels an axis, and the order of the axes on the whole grids alone.

        Args:
            block: The aligned source's planes of `source_planes`, of any real type: (d, H, W)
                where the axis is 0, (D, h, W) or (D, H, w) where it is another.
            axis: Target axis that the slab is a part of, 0 to 2.
            slab: The target planes.

        Returns:
            The target's planes, float32, (slab, H, W) where the axis is 0. They may be `block`
            itself where there is nothing to interpolate.
        """
        axes = list(self.axes)
        axes[axis] = axes[axis].part(slab)
        values = block
        for index, positions in sorted(enumerate(axes), key=lambda step: step[1].ratio):
            # shrink before growing: fewer voxels pass through
            values = _interpolated(values, index, positions)
        return np.ascontiguousarray(values, dtype=np.float32)

    def pieces(
        self, source: NDArray[Any], target: NDArray[Any], axis: int, slab: slice
    ) -> Iterator[tuple[slice, NDArray[Any], NDArray[Any]]]:
        """Cut a slab into pieces that stay near the caches.

        Args:
            source: The aligned source's planes of `source_planes`, (C, …).
            target: The slab, (K, …).
            axis: Target axis that the slab is a part of, 0 to 2.
            slab: The target planes, at least one.

        Yields:
            The target planes of a piece, and its views of `source` and `target`.
        """
        origin = self.source_planes(axis, slab).start
        for piece in self.slabs(axis, slab):
            needed = self.source_planes(axis, piece)
            yield (
                piece,
                planes_of(source, axis, needed.start - origin, needed.stop - origin),
                planes_of(target, axis, piece.start - slab.start, piece.stop - slab.start),
            )

    def carry(
        self, source: NDArray[Any], target: NDArray[np.float32], axis: int, slab: slice
    ) -> None:
        """Interpolate a slab of every channel into `target`; arguments as of `pieces`, C = K."""
        for piece, block, part in self.pieces(source, target, axis, slab):
            for channel, into in zip(block, part, strict=True):
                into[...] = self.sample(channel, axis, piece)


def planes_of(array: NDArray[Any], axis: int, start: int, stop: int) -> NDArray[Any]:
    """View planes [start, stop) along an axis, 0 to 2, of an array (C, D, H, W)."""
    return array[(slice(None),) * (1 + axis) + (slice(start, stop),)]


def turned(
    array: NDArray[Any], order: tuple[int, int, int], flipped: tuple[bool, bool, bool]
) -> NDArray[Any]:
    """View a (C, D, H, W) array with its last three axes permuted, then reversed where told."""
    view = array.transpose(0, *(1 + axis for axis in order))
    return view[(slice(None), *(slice(None, None, -1 if flip else 1) for flip in flipped))]


def plan_sampling(source: Grid, target: Grid) -> Sampling:
    """Find how arrays on one grid are carried onto another.

    Positions outside the source take its edge value.

    Args:
        source: The grid that the arrays are on.
        target: The grid that they shall be on; its axes are parallel to the source's.

    Raises:
        VolumeError: The axes are not parallel.
    """
    steps = np.linalg.solve(array_affine(source.affine), array_affine(target.affine))
    order = [int(axis) for axis in np.abs(steps[:3, :3]).argmax(axis=0)]
    extents = np.maximum(np.subtract(target.shape, 1), 1)
    skew = np.abs(steps[:3, :3]) * extents
    skew[order, range(3)] = 0.0
    if sorted(order) != [0, 1, 2] or skew.max() > _SKEW_VOXELS:
        raise VolumeError(
            "resampling",
            f"grids that drift apart by {skew.max():.3g} voxels across the volume",
            "The axes of the two grids are parallel, in any order and direction.",
            "Pass the grid of the scan that the network's input was made from.",
        )
    flipped, axes = [], []
    for target_axis, axis in enumerate(order):
        length, step, start = source.shape[axis], steps[axis, target_axis], steps[axis, 3]
        if step < 0:
            start = length - 1 - start
        flipped.append(bool(step < 0))
        positions = start + abs(step) * np.arange(target.shape[target_axis])
        axes.append(_axis(positions, length))
    return Sampling(
        (order[0], order[1], order[2]),
        (flipped[0], flipped[1], flipped[2]),
        (axes[0], axes[1], axes[2]),
    )


def _axis(positions: NDArray[np.float64], length: int) -> _Axis:
    ratio = len(positions) / length
    whole = np.round(positions)
    inside = np.clip(positions, 0, length - 1)
    if length == 1 or np.abs(positions - whole).max() < _SNAP_VOXELS:
        return _Axis(np.clip(whole, 0, length - 1).astype(np.intp), None, ratio)
    lower = np.minimum(np.floor(inside), length - 2)
    return _Axis(lower.astype(np.intp), (inside - lower).astype(np.float32), ratio)


def _interpolated(values: NDArray[Any], index: int, axis: _Axis) -> NDArray[Any]:
    count = len(axis.lower)
    if axis.weight is None:
        if np.array_equal(axis.lower, np.arange(values.shape[index])):
            return values
        return values.take(axis.lower, index)
    shape = [1, 1, 1]
    shape[index] = count
    below = values.take(axis.lower, index).astype(np.float32, copy=False)
    result = values.take(axis.lower + 1, index).astype(np.float32, copy=False)
    result -= below
    result *= axis.weight.reshape(shape)
    result += below
    return result
