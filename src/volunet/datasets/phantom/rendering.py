"""From tissue at points to voxels: partial volume, labels by majority, and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from volunet.datasets.phantom.patient import Patient
from volunet.datasets.phantom.shapes import Points
from volunet.volumes.axes import Affine, Shape3

_SUBVOXELS = 3
"""Samples along each axis of a voxel that a border passes through."""

_SAFETY = 1.15
"""Distances are nearly, not quite, exact: widen the zone that is sampled finely."""

_SLAB_VOXELS = 400_000
_NUM_LABELS = 5


def render(
    patient: Patient, shape: Shape3, affine: Affine
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Render a patient on a grid, without noise.

    A voxel that no border passes through takes the tissue at its centre. Any other is the mean
    of 3×3×3 samples (partial volume), and its label is the one that most samples have.

    Args:
        patient: What to render.
        shape: Size in voxels, (D, H, W).
        affine: Axis-aligned RAS affine of the grid.

    Returns:
        HU and labels, both (D, H, W).
    """
    hu = np.empty(shape, dtype=np.float32)
    label = np.empty(shape, dtype=np.uint8)
    step = max(1, _SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], step):
        slab = slice(start, min(start + step, shape[0]))
        points = _voxel_centres(shape, affine, slab)
        slab_hu, slab_label = _render_points(patient, points, np.diag(affine)[:3])
        hu[slab] = slab_hu.reshape(-1, *shape[1:])
        label[slab] = slab_label.reshape(-1, *shape[1:])
    return hu, label


def add_noise(
    hu: NDArray[np.float32], noise_hu: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Add slightly correlated Gaussian noise and round to a scanner's integers.

    Args:
        hu: Voxels, (D, H, W).
        noise_hu: Standard deviation of the noise.
        rng: The source of the noise.
    """
    noise = gaussian_filter(rng.standard_normal(hu.shape, dtype=np.float32), 0.5)
    noise *= noise_hu / float(noise.std())
    return np.asarray(np.clip(np.rint(hu + noise), -1024, 3071), dtype=np.int16)


def _voxel_centres(shape: Shape3, affine: Affine, slab: slice) -> Points:
    z, y, x = (
        affine[axis, 3] + affine[axis, axis] * np.arange(size)
        for axis, size in zip((2, 1, 0), shape, strict=True)
    )
    grid = np.meshgrid(z[slab], y, x, indexing="ij")
    return np.stack([values.ravel() for values in grid[::-1]]).astype(np.float32)


def _render_points(
    patient: Patient, centres: Points, voxel_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    found = patient.tissue(centres)
    reach = 0.5 * _SAFETY * float(np.linalg.norm(voxel_mm))
    mixed = np.flatnonzero(found.margin_mm < reach)
    total = np.zeros(mixed.size, dtype=np.float32)
    votes = np.zeros((_NUM_LABELS, mixed.size), dtype=np.uint8)
    column = np.arange(mixed.size)
    for index in np.ndindex(_SUBVOXELS, _SUBVOXELS, _SUBVOXELS):
        share = (np.array(index) + 0.5) / _SUBVOXELS - 0.5
        offset = (share * voxel_mm).astype(np.float32)
        sample = patient.tissue(centres[:, mixed] + offset[:, np.newaxis])
        total += sample.hu
        votes[sample.label, column] += 1
    hu, label = found.hu, found.label
    hu[mixed] = total / _SUBVOXELS**3
    label[mixed] = votes.argmax(axis=0)
    return hu, label
