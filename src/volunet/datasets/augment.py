"""Augmentation of training patches, by batchgeneratorsv2 (see docs/decisions.md for the choice)."""

from __future__ import annotations

from typing import Final

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

from volunet.plan import Plan

ROTATION_RAD: Final = np.deg2rad(15.0)
"""Largest rotation about each axis: patients lie about as straight as that."""

SCALING: Final = (0.85, 1.2)
"""Zoom: adults of one kind of scan differ by about as much."""

BLUR_SIGMA: Final = (0.5, 1.0)
"""Standard deviation of the blur in voxels."""

LARGEST_BLUR_RADIUS: Final = 3
"""Radius in voxels of the kernel for the largest `BLUR_SIGMA`; the blur mirrors the patch at its
border, which takes axes that are longer. Thinner patches, such as single slices, go without."""


def make_augmentation(plan: Plan) -> BasicTransform:
    """The random changes that a training patch goes through.

    Rotation and zoom, mirroring along the plan's axes, noise, blur, brightness, contrast, gamma and
    a lower resolution, each with a probability of its own.

    Args:
        plan: Says the patch's size and the axes to mirror.

    Returns:
        A transform; called with ``image`` (C, D, H, W) float32 and ``segmentation`` (1, D, H, W)
        int16, at least as large as the patch, it answers a dictionary of both in the patch's size.
        It draws from the global generators of NumPy and PyTorch.
    """
    transforms: list[BasicTransform] = [
        SpatialTransform(
            plan.patch_size,
            patch_center_dist_from_border=0,
            random_crop=False,
            p_rotation=0.4,
            rotation=(-ROTATION_RAD, ROTATION_RAD),
            p_scaling=0.4,
            scaling=SCALING,
            p_synchronize_scaling_across_axes=0.7,
            mode_seg="nearest",
            padding_mode_image="border",
        )
    ]
    if plan.mirror_axes:
        transforms.append(MirrorTransform(allowed_axes=plan.mirror_axes))
    transforms.append(
        RandomTransform(GaussianNoiseTransform((0.0, 0.05), synchronize_channels=False), 0.15)
    )
    if min(plan.patch_size) > LARGEST_BLUR_RADIUS:
        blur = GaussianBlurTransform(BLUR_SIGMA, synchronize_channels=True)
        transforms.append(RandomTransform(blur, 0.1))
    transforms += [
        RandomTransform(
            MultiplicativeBrightnessTransform((0.75, 1.25), synchronize_channels=False), 0.2
        ),
        RandomTransform(
            ContrastTransform((0.75, 1.25), preserve_range=True, synchronize_channels=False), 0.2
        ),
        RandomTransform(
            SimulateLowResolutionTransform(
                (0.5, 1.0), synchronize_channels=True, synchronize_axes=False, ignore_axes=()
            ),
            0.1,
        ),
        RandomTransform(
            GammaTransform(
                (0.7, 1.5),
                p_invert_image=0.0,
                synchronize_channels=False,
                p_per_channel=1.0,
                p_retain_stats=1.0,
            ),
            0.2,
        ),
    ]
    return ComposeTransforms(transforms)
