"""`Grid`: size and place of a volume without its voxels, and whether two of them are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from volunet.errors import ShapeError, VolumeError
from volunet.volumes.axes import Affine, Shape3, Spacing3, orientation_of, spacing_of

_DIRECTION_TOLERANCE = 1e-3
"""Cosine; converters round directions to 4…6 digits, and 1e-3 is 0.06°."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a volume lie.

    Args:
        shape: Size in voxels, (D, H, W).
        affine: 4×4, voxel index (i, j, k) → mm in RAS+ (see `volunet.volumes.axes`).
        num_channels: Values a voxel; it plays no part in comparing grids.

    Raises:
        ShapeError: A size below 1, or an affine that is not 4×4.
    """

    shape: Shape3
    affine: Affine
    num_channels: int = 1

    def __post_init__(self) -> None:
        affine = np.asarray(self.affine, dtype=np.float64)
        if len(self.shape) != 3 or min(self.shape) < 1 or affine.shape != (4, 4):
            raise ShapeError(
                "grid",
                f"size {self.shape} and an affine of shape {affine.shape}",
                "A grid has three sizes of at least 1 and a 4×4 affine.",
                "Take both from one volume: volume.grid.",
            )
        object.__setattr__(self, "affine", affine)

    @property
    def spacing_mm(self) -> Spacing3:
        """Voxel spacing in mm, (D, H, W)."""
        return spacing_of(self.affine)

    @property
    def orientation(self) -> str:
        """Direction in which i, j, k grow, such as ``"RAS"``."""
        return orientation_of(self.affine)


def check_affine(affine: Affine, where: str | Path) -> None:
    """Refuse an affine that gives voxels no place in space.

    Raises:
        VolumeError: A number is NaN or infinite, a spacing is 0, or two axes are parallel.
    """
    columns = affine[:3, :3]
    if not np.isfinite(affine).all():
        found = "the affine holds NaN or infinite numbers"
    elif (norms := np.linalg.norm(columns, axis=0)).min() <= 0.0:
        found = f"the affine gives a voxel spacing of 0 mm: {_numbers(spacing_of(affine))} mm"
    elif abs(np.linalg.det(columns / norms)) < 1e-3:
        found = "the affine is singular: two axes of the volume are parallel"
    else:
        return
    raise VolumeError(
        where,
        found,
        "The header must place every voxel in millimetres.",
        "Convert the scan anew from its source, or repair the header (NIfTI: sform and qform).",
    )


def check_same_grid(
    a: Grid,
    b: Grid,
    where: str | Path,
    tolerance_mm: float = 1e-3,
    names: tuple[str, str] = ("image", "label"),
) -> None:
    """Refuse two volumes whose voxels do not lie on each other.

    Sizes, spacings, directions and origins are compared in this order and the first difference
    is told. Channels are not compared.

    Args:
        a: Grid of the first volume.
        b: Grid of the second.
        where: The case or file, for the message.
        tolerance_mm: Largest difference of a spacing and distance of the origins, in mm.
            Direction cosines may differ by 1e-3.
        names: What the two volumes are, for the message.

    Raises:
        VolumeError: The grids differ.

    Example:
        >>> from volunet.volumes.axes import affine_of
        >>> grid = Grid((4, 5, 6), affine_of((3.0, 1.0, 1.0)))
        >>> check_same_grid(grid, Grid((4, 5, 6), affine_of((3.0, 1.0, 2.0))), "case_07")
        Traceback (most recent call last):
        volunet.errors.VolumeError: case_07: image spacing (3, 1, 1) mm, label spacing (3, 1, 2) mm.
        Image and label must share one voxel grid (tolerance 0.001 mm; sizes and spacings are D, H, W).
        Resample the label onto the image, or remove the case.
    """  # noqa: E501
    found = _difference(a, b, tolerance_mm, names)
    if found is None:
        return
    first, second = names
    raise VolumeError(
        where,
        found,
        f"{first.capitalize()} and {second} must share one voxel grid "
        f"(tolerance {tolerance_mm:g} mm; sizes and spacings are D, H, W).",
        f"Resample the {second} onto the {first}, or remove the case.",
    )


def _difference(a: Grid, b: Grid, tolerance_mm: float, names: tuple[str, str]) -> str | None:
    first, second = names
    if a.shape != b.shape:
        return f"{first} size {a.shape}, {second} size {b.shape}"
    gaps = np.abs(np.subtract(a.spacing_mm, b.spacing_mm))
    if not gaps.max() <= tolerance_mm:
        return (
            f"{first} spacing ({_numbers(a.spacing_mm)}) mm, "
            f"{second} spacing ({_numbers(b.spacing_mm)}) mm"
        )
    cosines = [grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0) for grid in (a, b)]
    if not np.abs(cosines[0] - cosines[1]).max() <= _DIRECTION_TOLERANCE:
        dots = np.clip((cosines[0] * cosines[1]).sum(axis=0), -1.0, 1.0)
        angle = float(np.degrees(np.arccos(dots)).max())
        return (
            f"{first} direction {a.orientation}, {second} direction {b.orientation}; "
            f"an axis differs by {angle:.3g}°"
        )
    distance = float(np.linalg.norm(a.affine[:3, 3] - b.affine[:3, 3]))
    if not distance <= tolerance_mm:
        return f"{first} and {second} origins differ by {distance:.4g} mm"
    return None


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.7g}" for value in values)
