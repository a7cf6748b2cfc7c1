"""Faults that `benchmarks/doctor` plants into data sets of real cases.

A data set is written anew, in MSD's layout: the cases that stay as they are are copied, the others
are changed, image or label, and keep their headers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import volunet
from volunet.datasets.cases import Case

Array = NDArray[Any]
Pair = tuple[Array, Array]
"""Image and label of a case, as their files have them: (W, H, D)."""

Edit = Callable[[int, int, Pair, np.random.Generator], Pair | None]
"""Number of a case, number of cases, its pair → the changed pair; None where it stays."""

SOME = 5
"""Every so manieth case is changed: 20 %."""

SHIFT = 5
PHANTOMS = 16
CLASSES = {"0": "background", "1": "Anterior", "2": "Posterior"}


def write_edited(cases: Sequence[Case], folder: Path, edit: Edit) -> Path:
    """Write cases as a data set of MSD's layout, some of them changed."""
    rng = np.random.default_rng(0)
    for number, case in enumerate(cases):
        pair = edit(number, len(cases), _read(case), rng)
        _write(case, folder, pair)
    return _describe(folder, [case.name for case in cases], CLASSES)


def write_subset(cases: Sequence[Case], folder: Path) -> Path:
    """Write cases as they are."""
    return write_edited(cases, folder, lambda *_: None)


def write_duplicates(cases: Sequence[Case], folder: Path) -> Path:
    """Write the first 4 cases a second time, under other names and with a little noise."""
    rng = np.random.default_rng(0)
    write_subset(cases, folder)
    names = [case.name for case in cases]
    for case in cases[:4]:
        copied = Case(f"again_{case.name}", case.images, case.label)
        image, label = _read(case)
        noisy = image + rng.normal(0, 0.01 * image.std(), image.shape)
        _write(copied, folder, (noisy.astype(image.dtype), label))
        names.append(copied.name)
    return _describe(folder, names, CLASSES)


def write_phantoms(cases: Sequence[Case], folder: Path) -> Path:
    """Write phantoms, whatever the cases."""
    return volunet.phantom(folder, cases=PHANTOMS)


def write_scaled_phantoms(cases: Sequence[Case], folder: Path) -> Path:
    """Write phantoms whose HU are scaled to 0…1."""
    volunet.phantom(folder, cases=PHANTOMS)
    for file in sorted((folder / "imagesTr").iterdir()):
        scan = nibabel.load(file)
        values = np.asarray(scan.dataobj, np.float32)
        scaled = (values - values.min()) / (values.max() - values.min())
        nibabel.save(nibabel.Nifti1Image(scaled, scan.affine), file)
    return folder


def write_tiny_objects(cases: Sequence[Case], folder: Path) -> Path:
    """Write 3 of 5 cases at 3 mm, and into the others a third class, a sheet of 1 mm.

    The median spacing is then 3 mm, of which the sheet is a third of a voxel.
    """
    names = []
    for number, case in enumerate(cases):
        image, label = _read(case)
        affine = nibabel.load(case.images[0]).affine
        if number % SOME < 3:
            image, label = image[::3, ::3, ::3], label[::3, ::3, ::3]
            affine = affine @ np.diag([3.0, 3.0, 3.0, 1.0])
        else:
            label = label.copy()
            label[5:15, 5:15, 3] = 3
        _save(folder / "imagesTr" / f"{case.name}.nii.gz", image, affine)
        _save(folder / "labelsTr" / f"{case.name}.nii.gz", label, affine)
        names.append(case.name)
    return _describe(folder, names, CLASSES | {"3": "Membrane"})


def flip(number: int, count: int, pair: Pair, rng: np.random.Generator) -> Pair | None:
    """Mirror the label along the longest axis, which the two classes follow, in 20 %."""
    image, label = pair
    return (image, np.flip(label, 1)) if number % SOME == 0 else None


def shift_some(number: int, count: int, pair: Pair, rng: np.random.Generator) -> Pair | None:
    """Move the label by 5 voxels along a random axis in 20 %."""
    if number % SOME:
        return None
    image, label = pair
    return image, _moved(label, int(rng.integers(3)), SHIFT * int(rng.choice([-1, 1])))


def shift_all(number: int, count: int, pair: Pair, rng: np.random.Generator) -> Pair | None:
    """Move every label by 5 voxels along the first axis."""
    image, label = pair
    return image, _moved(label, 0, SHIFT)


def swap(number: int, count: int, pair: Pair, rng: np.random.Generator) -> Pair | None:
    """Give each class the other's value in 20 %."""
    image, label = pair
    return (image, np.array([0, 2, 1], label.dtype)[label]) if number % SOME == 0 else None


def put_nan(number: int, count: int, pair: Pair, rng: np.random.Generator) -> Pair | None:
    """Put 10 voxels that are no number into one image."""
    if number != count // 2:
        return None
    image, label = pair
    image = image.astype(np.float32)
    image.flat[rng.choice(image.size, 10, replace=False)] = np.nan
    return image, label


def saturate(number: int, count: int, pair: Pair, rng: np.random.Generator) -> Pair | None:
    """Cut off what is brighter than the median in 20 %."""
    image, label = pair
    return (np.minimum(image, np.median(image)), label) if number % SOME == 0 else None


def empty(number: int, count: int, pair: Pair, rng: np.random.Generator) -> Pair | None:
    """Empty the label in 10 %."""
    image, label = pair
    return (image, np.zeros_like(label)) if number % (2 * SOME) == 0 else None


def dilate(number: int, count: int, pair: Pair, rng: np.random.Generator) -> Pair | None:
    """Let one label grow by 3 voxels; each new voxel belongs to the nearest class."""
    if number != count // 2:
        return None
    image, label = pair
    distance, nearest = ndimage.distance_transform_edt(label == 0, return_indices=True)
    return image, np.where(distance <= 3, label[tuple(nearest)], 0).astype(label.dtype)


def add_noise(number: int, count: int, pair: Pair, rng: np.random.Generator) -> Pair | None:
    """Give a third of the voxels within 2 of a label's border a random class in 20 %."""
    if number % SOME:
        return None
    image, label = pair
    foreground = label > 0
    inside = ndimage.distance_transform_edt(foreground)
    outside = ndimage.distance_transform_edt(~foreground)
    border = np.where(foreground, inside, outside) <= 2
    chosen = border & (rng.random(label.shape) < 1 / 3)
    return image, np.where(chosen, rng.integers(0, 3, label.shape), label).astype(label.dtype)


def _moved(label: Array, axis: int, voxels: int) -> Array:
    moved = np.zeros_like(label)
    size = label.shape[axis]
    to, source = [slice(None)] * 3, [slice(None)] * 3
    to[axis] = slice(max(0, voxels), size + min(0, voxels))
    source[axis] = slice(max(0, -voxels), size - max(0, voxels))
    moved[tuple(to)] = label[tuple(source)]
    return moved


def _read(case: Case) -> Pair:
    image, label = (nibabel.load(file).dataobj for file in (case.images[0], _label(case)))
    return np.asarray(image), np.asarray(label).astype(np.uint8)


def _write(case: Case, folder: Path, pair: Pair | None) -> None:
    files = (case.images[0], _label(case))
    for index, (kind, source) in enumerate(zip(("imagesTr", "labelsTr"), files, strict=True)):
        target = folder / kind / f"{case.name}.nii.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        if pair is None:
            shutil.copy(source, target)
        else:
            _save(target, pair[index], nibabel.load(source).affine)


def _save(file: Path, array: Array, affine: Array) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = array if array.dtype in (np.uint8, np.int16, np.float32) else array.astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(kept), affine), file)


def _describe(folder: Path, names: Sequence[str], labels: dict[str, str]) -> Path:
    content = {
        "name": "Hippocampus",
        "modality": {"0": "MRI"},
        "labels": labels,
        "training": [
            {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
            for name in names
        ],
    }
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _label(case: Case) -> Path:
    if case.label is None:
        raise ValueError(f"{case.name} has no label map")
    return case.label
