"""Small data sets of one anatomy, healthy or with a fault planted in some cases.

Two balls of one bright organ, the upper and the lower, beside a dark tube, at a place, of a size
and with a texture that differ a little from case to case; nothing about them is symmetric.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from volunet.datasets.layouts import read_dataset
from volunet.diagnosing.cases.study import Study, read_study

SHAPE = (24, 28, 20)
"""(D, H, W)."""

COUNT = 12

Scan = tuple[np.ndarray, np.ndarray, tuple[float, float, float]]
"""Image and class indices, (D, H, W), and spacing in mm, (D, H, W)."""

Plant = Callable[[np.ndarray, np.ndarray, tuple[float, float, float]], Scan]


class MakeStudy(Protocol):
    def __call__(
        self,
        plant: Plant | None = None,
        at: Collection[int] = (2,),
        count: int = COUNT,
        channel: str = "MRI",
    ) -> Study: ...


def healthy_scan(seed: int, shape: tuple[int, int, int] = SHAPE) -> Scan:
    """HU-like: fat −100, organ 80 and 160, tube −700, texture of deviation 15, noise of 10."""
    rng = np.random.default_rng(seed)
    d, h, w = np.indices(shape, float)
    centre = np.array([10.0, 10.5, 6.5]) + rng.uniform(-1, 1, 3)
    size = rng.uniform(0.93, 1.07)
    upper = (d - centre[0] - 3.5) ** 2 + (h - centre[1] + 2) ** 2 + (w - centre[2]) ** 2
    lower = (d - centre[0] + 3.5) ** 2 + (h - centre[1] - 2) ** 2 + (w - centre[2] - 1) ** 2
    label = np.zeros(shape, np.uint8)
    label[lower < (4.4 * size) ** 2] = 2
    label[upper < (3.8 * size) ** 2] = 1
    texture = ndimage.gaussian_filter(rng.normal(size=shape), 1.2)
    image = 15 * texture / texture.std() + rng.normal(0, 10, shape)
    image += np.choose(label, [-100.0, 80.0, 160.0])
    image[(h - 24) ** 2 + (w - 15) ** 2 < 9] -= 600
    return image.astype(np.float32), label, (1.0, 1.0, 1.0)


@pytest.fixture(scope="session")
def scan() -> Callable[[int], Scan]:
    """A healthy scan by its seed."""
    return healthy_scan


@pytest.fixture
def write_set(tmp_path: Path) -> Callable[..., Path]:
    """Write an MSD folder of healthy scans, those at some places changed."""

    def write(
        plant: Plant | None = None,
        at: Collection[int] = (2,),
        count: int = COUNT,
        channel: str = "MRI",
    ) -> Path:
        training = []
        for index in range(count):
            image, label, spacing = healthy_scan(index)
            if plant is not None and index in at:
                image, label, spacing = plant(image, label, spacing)
            entry = {}
            for kind, array in (("image", image), ("label", label)):
                place = tmp_path / f"{kind}sTr" / f"case_{index:02d}.nii"
                place.parent.mkdir(exist_ok=True)
                affine = np.diag([*spacing[::-1], 1.0])
                nibabel.save(nibabel.Nifti1Image(array.transpose(), affine), place)
                entry[kind] = f"./{place.relative_to(tmp_path)}"
            training.append(entry)
        content = {
            "name": "Balls",
            "tensorImageSize": "3D",
            "modality": {"0": channel},
            "labels": {"0": "background", "1": "upper", "2": "lower"},
            "training": training,
        }
        (tmp_path / "dataset.json").write_text(json.dumps(content))
        return tmp_path

    return write


@pytest.fixture
def make_study(write_set: Callable[..., Path]) -> MakeStudy:
    """Write such a set and read it."""

    def make(
        plant: Plant | None = None,
        at: Collection[int] = (2,),
        count: int = COUNT,
        channel: str = "MRI",
    ) -> Study:
        return read_study(read_dataset(write_set(plant, at, count, channel)))

    return make
