"""Oblique, anisotropic synthetic volumes, and where the public ones lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from volunet.volumes import Volume

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "volumes"


def rotation(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Rotation by three angles in radians, about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos([x, y, z]), np.sin([x, y, z])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@pytest.fixture
def oblique_affine() -> NDArray[np.float64]:
    """Spacing (i, j, k) 0.7, 0.9, 3.0 mm, turned by up to 17°, off centre, x and y flipped."""
    affine = np.eye(4)
    affine[:3, :3] = rotation(0.3, -0.2, 0.1) @ np.diag([-0.7, -0.9, 3.0])
    affine[:3, 3] = (91.25, -40.5, 1013.125)
    return affine


@pytest.fixture
def scan(oblique_affine: NDArray[np.float64]) -> Volume:
    """An int16 scan of noise, (9, 10, 11)."""
    noise = np.random.default_rng(1).integers(-1024, 3000, (9, 10, 11), dtype=np.int16)
    return Volume(noise, oblique_affine)


@pytest.fixture
def shared_volumes() -> Path:
    """Folder of public volumes beside the project."""
    if not SHARED.is_dir():
        pytest.skip("the public volumes are not beside the project (../shared/data/volumes)")
    return SHARED
