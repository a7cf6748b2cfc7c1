"""Planted faults are named first, with their cases; healthy data sets have no sure finding."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from volunet.datasets.cases import DataSet
from volunet.datasets.layouts import read_dataset
from volunet.datasets.phantom import write_phantoms
from volunet.diagnosing.dataset import diagnose_dataset

HIPPOCAMPUS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "Task04_Hippocampus"

needs_hippocampus = pytest.mark.skipif(
    not HIPPOCAMPUS.is_dir(), reason="MSD Task04_Hippocampus is not here"
)

Plant = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""A fault on image and label (i, j, k)."""


def some_cases(count: int = 12, first: int = 0) -> DataSet:
    dataset = read_dataset(HIPPOCAMPUS)
    return replace(dataset, cases=dataset.cases[first : first + 3 * count : 3])


def planted(folder: Path, plant: Plant, at: tuple[int, ...], millimetres: float = 1.0) -> DataSet:
    """A copy of some cases in which those at some places have a fault."""
    dataset = some_cases()
    cases = []
    for index, case in enumerate(dataset.cases):
        if index in at:
            image, label = (nibabel.load(path) for path in (case.images[0], case.label))
            arrays = plant(np.asarray(image.dataobj).copy(), np.asarray(label.dataobj).copy())
            affine = image.affine @ np.diag([millimetres] * 3 + [1.0])
            places = [folder / f"{case.name}_{kind}.nii" for kind in ("image", "label")]
            for array, place in zip(arrays, places, strict=True):
                nibabel.save(nibabel.Nifti1Image(array, affine), place)
            case = replace(case, images=(places[0],), label=places[1])
        cases.append(case)
    return replace(dataset, cases=tuple(cases))


def noise(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(int(label.sum()))
    border = ndimage.binary_dilation(label > 0) & ~ndimage.binary_erosion(label > 0)
    hit = border & (rng.random(label.shape) < 0.3)
    near = ndimage.grey_dilation(label, size=(3, 3, 3))
    return image, np.where(hit, np.where(label > 0, 0, near), label).astype(np.uint8)


def spoil(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image = image.astype(np.float32)
    image[3, 3, 3] = np.nan
    return image, label


FAULTS: dict[str, Plant] = {
    "unreadable-case": spoil,
    "image-constant": lambda image, label: (image * 0 + 5, label),
    "intensity-saturated": lambda image, label: (
        np.minimum(image, np.percentile(image, 85)),
        label,
    ),
    "label-empty": lambda image, label: (image, label * 0),
    "label-flipped": lambda image, label: (image, label[:, ::-1].copy()),
    "label-shifted": lambda image, label: (image, np.roll(label, 5, axis=2)),
    "classes-swapped": lambda image, label: (image, np.choose(label, [0, 2, 1]).astype(np.uint8)),
    "label-volume-outlier": lambda image, label: (
        image,
        np.where(label > 0, label, ndimage.grey_dilation(label, size=(7, 7, 7))),
    ),
    "label-noise": noise,
}


@needs_hippocampus
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_some_real_cases_is_named_first_and_surely(fault, tmp_path):
    at = (3, 8) if fault != "label-volume-outlier" else (8,)
    dataset = planted(tmp_path, FAULTS[fault], at)
    first, *others = diagnose_dataset(dataset)
    assert (first.fault, first.certainty) == (fault, "high")
    assert first.cases == tuple(dataset.cases[place].name for place in at)
    assert not [finding for finding in others if finding.certainty == "high"]


@needs_hippocampus
@pytest.mark.parametrize("fault", ["label-flipped", "label-shifted"])
def test_a_fault_in_all_real_cases_is_named(fault, tmp_path):
    dataset = planted(tmp_path, FAULTS[fault], tuple(range(12)))
    (finding,) = diagnose_dataset(dataset)
    assert (finding.fault, finding.certainty) == (fault, "high")
    assert finding.where == "all 12 cases"


@needs_hippocampus
def test_centimetres_in_one_real_case(tmp_path):
    dataset = planted(tmp_path, lambda image, label: (image, label), (4,), millimetres=0.1)
    (finding,) = diagnose_dataset(dataset)
    assert (finding.fault, finding.certainty) == ("spacing-outlier", "high")
    assert finding.cases == (dataset.cases[4].name,)


@needs_hippocampus
def test_a_real_case_twice():
    dataset = some_cases()
    twice = replace(dataset.cases[5], name="hippocampus_998")
    (finding,) = diagnose_dataset(replace(dataset, cases=(*dataset.cases, twice)))
    assert (finding.fault, finding.certainty) == ("duplicate-cases", "high")
    assert finding.cases == (dataset.cases[5].name, "hippocampus_998")


@needs_hippocampus
@pytest.mark.parametrize("first", [0, 60, 130])
def test_healthy_real_cases_have_no_sure_finding(first):
    findings = diagnose_dataset(some_cases(20, first))
    assert [finding for finding in findings if finding.certainty != "low"] == []


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "set"
    coarse = ((9.0, 10.0), (8.0, 9.0), (8.0, 9.0))
    write_phantoms(folder, num_cases=6, spacing_mm=coarse)
    return folder


def test_healthy_phantoms_have_no_finding(phantoms):
    assert diagnose_dataset(read_dataset(phantoms)) == []


def test_phantoms_scaled_to_0_to_1(phantoms, tmp_path):
    dataset = read_dataset(phantoms)
    cases = []
    for case in dataset.cases:
        image = nibabel.load(case.images[0])
        array = np.asarray(image.dataobj, np.float32)
        array = (array - array.min()) / (array.max() - array.min())
        place = tmp_path / f"{case.name}.nii"
        nibabel.save(nibabel.Nifti1Image(array, image.affine), place)
        cases.append(replace(case, images=(place,)))
    (finding,) = diagnose_dataset(replace(dataset, cases=tuple(cases)))
    assert (finding.fault, finding.certainty) == ("intensity-units", "high")
    assert finding.where == "all 6 cases"


def test_phantoms_on_too_coarse_a_grid(phantoms):
    findings = diagnose_dataset(read_dataset(phantoms), spacing_mm=(9.0, 100.0, 100.0))
    assert {finding.fault for finding in findings} == {"tiny-object-lost"}


def test_progress_and_no_readable_case(phantoms):
    dataset = read_dataset(phantoms)
    told: list[tuple[int, int]] = []
    missing = [replace(case, label=Path("nowhere.nii")) for case in dataset.cases[:2]]
    (finding,) = diagnose_dataset(
        replace(dataset, cases=tuple(missing)),
        progress=lambda done, total: told.append((done, total)),
    )
    assert finding.fault == "unreadable-case"
    assert finding.where == "all 2 cases"
    assert told == [(1, 2), (2, 2)]


def test_findings_are_json(phantoms):
    findings = diagnose_dataset(read_dataset(phantoms), spacing_mm=(9.0, 100.0, 100.0))
    text = json.dumps([finding.to_json() for finding in findings])
    assert json.loads(text)[0]["fault"] == "tiny-object-lost"
