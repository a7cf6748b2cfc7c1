"""`Volume`: an array with its place in space, the one form in which scans travel."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from volunet.errors import ShapeError
from volunet.volumes.axes import (
    Affine,
    Shape3,
    Spacing3,
    affine_of,
    orientation_of,
    spacing_of,
)
from volunet.volumes.grid import Grid


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan, a label map or a map of probabilities.

    Args:
        array: Voxels, (C, D, H, W); a (D, H, W) array is taken as one channel.
        affine: 4×4, voxel index (i, j, k) → mm in RAS+ (see `volunet.volumes.axes`).
        source: The file that it was read from, for messages.

    Raises:
        ShapeError: The array does not have 3 or 4 axes, or the affine is not 4×4.

    Example:
        >>> volume = Volume.of_array(np.zeros((4, 5, 6)), spacing_mm=(3.0, 1.0, 1.0))
        >>> volume.shape, volume.spacing_mm, volume.orientation
        ((4, 5, 6), (3.0, 1.0, 1.0), 'RAS')
    """

    array: NDArray[Any]
    affine: Affine
    source: Path | None = field(default=None)

    def __post_init__(self) -> None:
        where = str(self.source or "volume")
        if self.array.ndim == 3:
            object.__setattr__(self, "array", self.array[np.newaxis])
        if self.array.ndim != 4 or 0 in self.array.shape:
            raise ShapeError(
                where,
                f"an array of shape {self.array.shape}",
                "A volume is (D, H, W) or (C, D, H, W), each axis at least 1.",
                "Pass the array in that order; take one time point of a series.",
            )
        affine = np.asarray(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ShapeError(
                where,
                f"an affine of shape {affine.shape}",
                "An affine is 4×4 and finite.",
                "Give the spacing instead: Volume.of_array(array, spacing_mm).",
            )
        object.__setattr__(self, "affine", affine)

    @classmethod
    def of_array(cls, array: NDArray[Any], spacing_mm: Spacing3) -> Volume:
        """A volume on an axis-aligned RAS grid.

        Args:
            array: Voxels, (D, H, W) or (C, D, H, W).
            spacing_mm: Voxel spacing in mm, (D, H, W).
        """
        return cls(array, affine_of(spacing_mm))

    @property
    def num_channels(self) -> int:
        """Number of channels, C."""
        return int(self.array.shape[0])

    @property
    def shape(self) -> Shape3:
        """Size in voxels, (D, H, W)."""
        _, depth, height, width = self.array.shape
        return int(depth), int(height), int(width)

    @property
    def spacing_mm(self) -> Spacing3:
        """Voxel spacing in mm, (D, H, W)."""
        return spacing_of(self.affine)

    @property
    def orientation(self) -> str:
        """Direction in which i, j, k grow, such as ``"RAS"``."""
        return orientation_of(self.affine)

    @property
    def grid(self) -> Grid:
        """The grid that the voxels lie on."""
        return Grid(self.shape, self.affine, self.num_channels)

    def with_array(self, array: NDArray[Any]) -> Volume:
        """Another array on the same grid."""
        return Volume(array, self.affine, self.source)
