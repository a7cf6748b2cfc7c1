"""The one axis rule of volunet.

Arrays are (C, D, H, W), where D, H, W are the NIfTI axes k, j, i: the order in which SimpleITK
hands arrays out. Sizes and spacings follow D, H, W. Only the 4×4 affine keeps NIfTI's order: it
maps a voxel index (i, j, k) to millimetres in RAS+ (right, anterior and superior grow).
No other file reverses axes.
"""

from __future__ import annotations

import itertools
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from volunet.errors import ConfigError

Affine = NDArray[np.float64]
Shape3 = tuple[int, int, int]
Spacing3 = tuple[float, float, float]

_LETTERS: Final = (("L", "R"), ("P", "A"), ("I", "S"))
"""For each RAS+ axis the letter of an index that shrinks and of one that grows along it."""

_LPS_FROM_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


def from_nifti_order(array: NDArray[Any]) -> NDArray[Any]:
    """View an (i, j, k) or (i, j, k, C) array as (C, D, H, W)."""
    if array.ndim == 3:
        array = array[..., np.newaxis]
    return array.transpose(3, 2, 1, 0)


def to_nifti_order(array: NDArray[Any]) -> NDArray[Any]:
    """View a (C, D, H, W) array as (i, j, k), or (i, j, k, C) where C > 1."""
    array = array.transpose(3, 2, 1, 0)
    return array[..., 0] if array.shape[3] == 1 else array


def spacing_of(affine: Affine) -> Spacing3:
    """Voxel spacing in mm, (D, H, W), of an affine."""
    i, j, k = np.linalg.norm(affine[:3, :3], axis=0)
    return float(k), float(j), float(i)


def affine_of(spacing_mm: Spacing3, origin_mm: Spacing3 = (0.0, 0.0, 0.0)) -> Affine:
    """Affine of an axis-aligned RAS grid.

    Args:
        spacing_mm: Voxel spacing in mm, (D, H, W).
        origin_mm: Centre of voxel (0, 0, 0) in mm, RAS+ (x, y, z).
    """
    affine = np.diag([spacing_mm[2], spacing_mm[1], spacing_mm[0], 1.0])
    affine[:3, 3] = origin_mm
    return affine


def nearest_axes(affine: Affine) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """RAS+ axis nearest to each NIfTI axis, and whether it grows (1) or shrinks (−1) along it.

    The assignment is the permutation with the largest total direction cosine, so that an oblique
    grid at 45° still gets three different axes.

    Returns:
        Axes and signs for (i, j, k).
    """
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    best = max(
        itertools.permutations(range(3)),
        key=lambda axes: sum(abs(cosines[axis, index]) for index, axis in enumerate(axes)),
    )
    signs = tuple(1 if cosines[axis, index] >= 0 else -1 for index, axis in enumerate(best))
    return (best[0], best[1], best[2]), (signs[0], signs[1], signs[2])


def orientation_of(affine: Affine) -> str:
    """Direction in which i, j, k grow, as three letters such as ``"RAS"``."""
    axes, signs = nearest_axes(affine)
    return "".join(_LETTERS[axis][sign > 0] for axis, sign in zip(axes, signs, strict=True))


def axes_of_orientation(code: str) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """RAS+ axis and sign of each letter of an orientation code: `nearest_axes` the other way.

    Raises:
        ConfigError: The code is not three letters, one of R/L, A/P and S/I each.
    """
    found = [
        (axis, 1 if letter == pair[1] else -1)
        for letter in code
        for axis, pair in enumerate(_LETTERS)
        if letter in pair
    ]
    if len(code) != 3 or sorted(axis for axis, _ in found) != [0, 1, 2]:
        raise ConfigError(
            "orientation",
            f"{code!r}",
            "An orientation is three letters, one of R or L, one of A or P, one of S or I.",
            'Write for instance "RAS" or "LPS".',
        )
    (a, p), (b, q), (c, r) = found
    return (a, b, c), (p, q, r)


def array_affine(affine: Affine) -> Affine:
    """Affine that takes (d, h, w) for one that takes (i, j, k), and the other way round."""
    return affine[:, [2, 1, 0, 3]]


def array_steps(affine: Affine, code: str) -> tuple[Shape3, tuple[bool, bool, bool]]:
    """How (D, H, W) must be permuted, then flipped, to reach an orientation.

    Returns:
        For each new axis of (D, H, W) the old axis that it is, and whether it is reversed.
    """
    axes, signs = nearest_axes(affine)
    (i, j, k), (p, q, r) = axes_of_orientation(code)
    old = {axis: (2 - index, signs[index]) for index, axis in enumerate(axes)}
    return (
        (old[k][0], old[j][0], old[i][0]),
        (old[k][1] != r, old[j][1] != q, old[i][1] != p),
    )


def itk_geometry(affine: Affine) -> tuple[Spacing3, Spacing3, tuple[float, ...]]:
    """Spacing (i, j, k), origin and direction, as SimpleITK (LPS+) wants them."""
    lps = _LPS_FROM_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = lps[:3, :3] / spacing
    i, j, k = (float(value) for value in spacing)
    x, y, z = (float(value) for value in lps[:3, 3])
    return (i, j, k), (x, y, z), tuple(float(value) for value in direction.ravel())


def affine_of_itk(spacing: Spacing3, origin: Spacing3, direction: tuple[float, ...]) -> Affine:
    """RAS+ affine of a SimpleITK image's spacing (i, j, k), origin and direction (LPS+)."""
    lps = np.eye(4)
    lps[:3, :3] = np.asarray(direction).reshape(3, 3) * np.asarray(spacing)
    lps[:3, 3] = origin
    return np.asarray(_LPS_FROM_RAS @ lps)
