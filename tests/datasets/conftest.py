"""Small data sets on disk, written with nibabel so that no reader of ours is trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import nibabel
import numpy as np
import pytest

SIZE = (6, 7, 8)
"""NIfTI order (i, j, k), three different numbers so that a swapped axis shows."""


class WriteNifti(Protocol):
    def __call__(self, path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path: ...


@pytest.fixture
def write_nifti() -> WriteNifti:
    """Write an (i, j, k) or (i, j, k, C) array; spacing 1, 1.5, 2 mm unless an affine is given."""

    def write(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        affine = np.diag([1.0, 1.5, 2.0, 1.0]) if affine is None else affine
        nibabel.save(nibabel.Nifti1Image(array, affine), path)
        return path

    return write


def image_array(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, SIZE).astype(np.float32)


def label_array() -> np.ndarray:
    array = np.zeros(SIZE, np.uint8)
    array[1:4, 1:4, 1:4] = 1
    array[4:, 4:, 4:] = 2
    return array


@pytest.fixture
def make_msd(tmp_path: Path, write_nifti: WriteNifti) -> Callable[..., Path]:
    """An MSD folder of `count` good cases; keywords replace (None: remove) keys of its JSON."""

    def make(count: int = 3, **keys: Any) -> Path:
        folder = tmp_path / "Task99_Test"
        training = []
        for index in range(count):
            name = f"case_{index:02d}.nii.gz"
            write_nifti(folder / "imagesTr" / name, image_array(index))
            write_nifti(folder / "labelsTr" / name, label_array())
            training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
        content = {
            "name": "Test",
            "modality": {"0": "MRI"},
            "labels": {"0": "background", "1": "left part", "2": "rest"},
            "training": training,
        } | keys
        write_json(folder / "dataset.json", content)
        return folder

    return make


@pytest.fixture
def make_nnunet(tmp_path: Path, write_nifti: WriteNifti) -> Callable[..., Path]:
    """An nnU-Net v2 folder of good cases with two channels, CT and PET."""

    def make(count: int = 3, channels: tuple[str, ...] = ("CT", "PET"), **keys: Any) -> Path:
        folder = tmp_path / "Dataset099_Test"
        for index in range(count):
            for channel in range(len(channels)):
                write_nifti(
                    folder / "imagesTr" / f"case_{index:02d}_{channel:04d}.nii.gz",
                    image_array(10 * index + channel),
                )
            write_nifti(folder / "labelsTr" / f"case_{index:02d}.nii.gz", label_array())
        content = {
            "channel_names": {str(index): name for index, name in enumerate(channels)},
            "labels": {"background": 0, "one": 1, "two": 2},
            "numTraining": count,
            "file_ending": ".nii.gz",
        } | keys
        write_json(folder / "dataset.json", content)
        return folder

    return make


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
