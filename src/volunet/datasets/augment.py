"""Augmentation of training patches, by batchgeneratorsv2 (see docs/decisions.md for the choice)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform

from volunet.plan import Augmentation, Plan, Triple


@dataclass(frozen=True)
class Strength:
    """How much a training patch is changed.

    Attributes:
        spatial: Probability of a rotation, and of a zoom.
        rotation_rad: Largest rotation about each axis, as it leans in mm; see `largest_angle`.
        scaling: Smallest and largest zoom.
        elastic: Probability of an elastic deformation.
        intensity: What the probability of each intensity transform is multiplied by.
        contrast: Smallest and largest factor of brightness and of contrast.
        gamma: Smallest and largest exponent.
    """

    spatial: float
    rotation_rad: float
    scaling: tuple[float, float]
    elastic: float
    intensity: float
    contrast: tuple[float, float]
    gamma: tuple[float, float]


STRENGTHS: Final[Mapping[Augmentation, Strength]] = MappingProxyType(
    {
        # Patients lie straight within 15 degrees, and adults of one kind of scan differ in size by
        # about as much as the middle row's zoom. Few cases need more than what is likely: the
        # network must not know them by heart. Many bring their own variety.
        "light": Strength(0.2, np.deg2rad(10.0), (0.9, 1.1), 0.0, 0.5, (0.85, 1.15), (0.8, 1.25)),
        "moderate": Strength(
            0.4, np.deg2rad(15.0), (0.85, 1.2), 0.0, 1.0, (0.75, 1.25), (0.7, 1.5)
        ),
        "strong": Strength(0.6, np.deg2rad(25.0), (0.75, 1.3), 0.2, 1.5, (0.65, 1.4), (0.6, 1.8)),
    }
)

BLUR_SIGMA: Final = (0.5, 1.0)
"""Standard deviation of the blur in voxels."""

LARGEST_BLUR_RADIUS: Final = 3
"""Radius in voxels of the kernel for the largest `BLUR_SIGMA`; the blur mirrors the patch at its
border, which takes axes that are longer. Thinner patches, such as single slices, go without."""


def largest_angle(rotation_rad: float, first_mm: float, second_mm: float) -> float:
    """How far voxels may be turned in a plane so that nothing leans further than an angle in mm.

    The turn is one of voxels, as if they were cubes. Where they are long, it moves what it turns
    along them so many times further: of slices 5 mm thick with pixels of 0.8 mm, 15 degrees would
    lean by 59.

    Args:
        rotation_rad: The largest angle in mm, below a right one.
        first_mm: Spacing along one axis of the plane.
        second_mm: Spacing along the other.

    Returns:
        Radians.

    Example:
        >>> round(largest_angle(0.25, 1.0, 1.0), 3), round(largest_angle(0.25, 5.0, 0.8), 3)
        (0.25, 0.041)
    """
    ratio = max(first_mm, second_mm) / min(first_mm, second_mm)
    return math.atan(math.tan(rotation_rad) / ratio)


class _Rotation:
    """Draws the rotation about an axis of (D, H, W), for `SpatialTransform`."""

    def __init__(self, rotation_rad: float, spacing_mm: Triple) -> None:
        pairs = ((1, 2), (0, 2), (0, 1))
        self._limits = [
            largest_angle(rotation_rad, spacing_mm[first], spacing_mm[second])
            for first, second in pairs
        ]

    def __call__(self, *, dim: int, **_: Any) -> float:
        return float(np.random.uniform(-self._limits[dim], self._limits[dim]))


def make_augmentation(plan: Plan) -> BasicTransform | None:
    """The random changes that a training patch goes through.

    Rotation, zoom and, if strong, elastic deformation, mirroring along the plan's axes, noise,
    blur, brightness, contrast, gamma and a lower resolution, each with a probability of its own.

    Args:
        plan: Says the patch's size, the axes to mirror and the strength.

    Returns:
        A transform; called with ``image`` (C, D, H, W) float32 and ``segmentation`` (1, D, H, W)
        int16, at least as large as the patch, it answers a dictionary of both in the patch's size.
        It draws from the global generators of NumPy and PyTorch. None: patches stay as they are.
    """
    if plan.regularisation.augmentation == "none":
        return None
    strength = STRENGTHS[plan.regularisation.augmentation]
    transforms: list[BasicTransform] = [
        SpatialTransform(
            plan.patch_size,
            patch_center_dist_from_border=0,
            random_crop=False,
            p_elastic_deform=strength.elastic,
            elastic_deform_scale=(0.1, 0.3),
            elastic_deform_magnitude=(1.0, 3.0),
            p_rotation=strength.spatial,
            rotation=_Rotation(strength.rotation_rad, plan.spacing_mm or (1.0, 1.0, 1.0)),
            p_scaling=strength.spatial,
            scaling=strength.scaling,
            p_synchronize_scaling_across_axes=0.7,
            # Of interpolated class shares the largest wins: the nearest label alone would move each
            # border by up to half a voxel, at random, and the network would learn to blur it.
            mode_seg="bilinear",
            padding_mode_image="border",
        )
    ]
    if plan.mirror_axes:
        transforms.append(MirrorTransform(allowed_axes=plan.mirror_axes))
    intensity: list[tuple[BasicTransform, float]] = [
        (GaussianNoiseTransform((0.0, 0.05), synchronize_channels=False), 0.15),
        (MultiplicativeBrightnessTransform(strength.contrast, synchronize_channels=False), 0.2),
        (
            ContrastTransform(strength.contrast, preserve_range=True, synchronize_channels=False),
            0.2,
        ),
        (
            SimulateLowResolutionTransform(
                (0.5, 1.0), synchronize_channels=True, synchronize_axes=False, ignore_axes=()
            ),
            0.1,
        ),
        (
            GammaTransform(
                strength.gamma,
                p_invert_image=0.0,
                synchronize_channels=False,
                p_per_channel=1.0,
                p_retain_stats=1.0,
            ),
            0.2,
        ),
    ]
    if min(plan.patch_size) > LARGEST_BLUR_RADIUS:
        blur = GaussianBlurTransform(BLUR_SIGMA, synchronize_channels=True)
        intensity.insert(1, (blur, 0.1))
    transforms += [
        RandomTransform(transform, strength.intensity * probability)
        for transform, probability in intensity
    ]
    return ComposeTransforms(transforms)
