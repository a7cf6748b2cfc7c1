"""`make_phantom`: one hip-and-femur CT phantom, fully determined by its seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from volunet.datasets.phantom.patient import draw_patient
from volunet.datasets.phantom.rendering import add_noise, render
from volunet.errors import ConfigError
from volunet.volumes.axes import affine_of
from volunet.volumes.volume import Volume

Range = tuple[float, float]

CLASSES = ("background", "left hip", "right hip", "left femur", "right femur")
"""Name of each label value, 0 to 4."""

LANDMARKS = ("left femoral head centre", "right femoral head centre")

DEFAULT_SPACING_MM: tuple[Range, Range, Range] = ((4.8, 6.0), (4.4, 5.0), (4.4, 5.0))
"""Coarse, so that a network learns from 20 phantoms in minutes on a laptop: about 50×57×83."""

_HEADS_FROM_MIDDLE_MM = np.array([0.0, 14.0, -6.0])
"""Place of the femoral heads in the field of view: the body's bulk is behind and above them."""


@dataclass(frozen=True, eq=False)
class Phantom:
    """A CT scan that never was, and the truth about it.

    Attributes:
        image: CT numbers in HU, int16, (1, D, H, W).
        label: Values 0 to 4 as in `CLASSES`, uint8, (1, D, H, W), on the same grid.
        landmarks_mm: Place of each of `LANDMARKS` in mm, RAS+ (x, y, z).
    """

    image: Volume
    label: Volume
    landmarks_mm: dict[str, tuple[float, float, float]]

    @property
    def landmarks_voxel(self) -> dict[str, tuple[float, float, float]]:
        """Place of each landmark as voxel indices (i, j, k), with fractions."""
        inverse = np.linalg.inv(self.image.affine)
        return {
            name: _triple(inverse[:3, :3] @ np.array(place) + inverse[:3, 3])
            for name, place in self.landmarks_mm.items()
        }


def make_phantom(seed: int, spacing_mm: tuple[Range, Range, Range] = DEFAULT_SPACING_MM) -> Phantom:
    """Make a CT phantom of the hips and upper femurs, from crest to mid-thigh.

    Dimensions, pose, densities, noise, spacing, size and origin are drawn from the seed. The grid
    is axis-aligned RAS; where height and width have the same range their pixels are square.

    Args:
        seed: The same seed gives the same phantom.
        spacing_mm: Lowest and highest voxel spacing in mm for each of (D, H, W).

    Raises:
        ConfigError: A range is empty or not positive.

    Example:
        >>> phantom = make_phantom(0, spacing_mm=((9, 9), (8, 8), (8, 8)))
        >>> phantom.image.spacing_mm, phantom.image.array.dtype.name
        ((9.0, 8.0, 8.0), 'int16')
    """
    check_spacing(spacing_mm)
    rng = np.random.default_rng(seed)
    slice_share, pixel_share = rng.uniform(size=2)
    shares = (slice_share, pixel_share, pixel_share)
    depth_mm, height_mm, width_mm = (
        low + share * (high - low) for (low, high), share in zip(spacing_mm, shares, strict=True)
    )
    spacing = (depth_mm, height_mm, width_mm)
    field_mm = rng.uniform((262.0, 262.0, 365.0), (310.0, 300.0, 415.0))
    depth, height, width = (
        max(1, round(float(field) / step)) for field, step in zip(field_mm, spacing, strict=True)
    )
    origin = rng.uniform(-150.0, 150.0, size=3)
    affine = affine_of(spacing, _triple(origin))
    middle = origin + 0.5 * np.diag(affine)[:3] * (width - 1, height - 1, depth - 1)
    patient = draw_patient(rng, middle + _HEADS_FROM_MIDDLE_MM)
    hu, label = render(patient, (depth, height, width), affine)
    image = add_noise(hu, rng.uniform(15.0, 30.0), rng)
    landmarks = {
        name: _triple(patient.head_centre_mm(side))
        for name, side in zip(LANDMARKS, patient.sides, strict=True)
    }
    return Phantom(Volume(image, affine), Volume(label, affine), landmarks)


def check_spacing(spacing_mm: tuple[Range, Range, Range]) -> None:
    """Refuse spacing ranges that no grid can have.

    Raises:
        ConfigError: A range is empty, infinite or not positive.
    """
    for name, (low, high) in zip(("depth", "height", "width"), spacing_mm, strict=True):
        if not (0.0 < low <= high < math.inf):
            raise ConfigError(
                f"spacing_mm, {name}",
                f"the range {low} to {high} mm",
                "A spacing range is positive and finite, the lower bound first.",
                "Give for instance (4.4, 5.0).",
            )


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
