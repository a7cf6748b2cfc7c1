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

NO_CT = "intensity-units: no channel is called CT, and of others the unit is free"

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
    first, *others = diagnose_dataset(dataset).findings
    assert (first.fault, first.certainty) == (fault, "high")
    assert first.cases == tuple(dataset.cases[place].name for place in at)
    assert not [finding for finding in others if finding.certainty == "high"]


@needs_hippocampus
@pytest.mark.parametrize("fault", ["label-flipped", "label-shifted"])
def test_a_fault_in_all_real_cases_is_named(fault, tmp_path):
    dataset = planted(tmp_path, FAULTS[fault], tuple(range(12)))
    (finding,) = diagnose_dataset(dataset).findings
    assert (finding.fault, finding.certainty) == (fault, "high")
    assert finding.where == "all 12 cases"


@needs_hippocampus
def test_centimetres_in_one_real_case(tmp_path):
    dataset = planted(tmp_path, lambda image, label: (image, label), (4,), millimetres=0.1)
    (finding,) = diagnose_dataset(dataset).findings
    assert (finding.fault, finding.certainty) == ("spacing-outlier", "high")
    assert finding.cases == (dataset.cases[4].name,)


@needs_hippocampus
def test_a_real_case_twice():
    dataset = some_cases()
    twice = replace(dataset.cases[5], name="hippocampus_998")
    (finding,) = diagnose_dataset(replace(dataset, cases=(*dataset.cases, twice))).findings
    assert (finding.fault, finding.certainty) == ("duplicate-cases", "high")
    assert finding.cases == (dataset.cases[5].name, "hippocampus_998")


@needs_hippocampus
@pytest.mark.parametrize("first", [0, 60, 130])
def test_healthy_real_cases_have_no_sure_finding(first):
    diagnosis = diagnose_dataset(some_cases(20, first))
    assert diagnosis.is_healthy
    assert diagnosis.left_out == (NO_CT,)


def without_anterior(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return image, np.where(label == 1, 0, label).astype(np.uint8)


@needs_hippocampus
def test_a_class_that_is_missing_in_a_real_case_is_likely(tmp_path):
    dataset = planted(tmp_path, without_anterior, (4,))
    first, *others = diagnose_dataset(dataset).findings
    assert (first.fault, first.certainty) == ("label-empty", "medium")
    assert first.cases == (dataset.cases[4].name,)
    assert not [finding for finding in others if finding.certainty != "low"]


@needs_hippocampus
def test_a_case_with_a_missing_class_is_still_judged(tmp_path):
    def plant(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return without_anterior(image, np.roll(label, 6, axis=2))

    dataset = planted(tmp_path, plant, (4,))
    first = diagnose_dataset(dataset).findings[0]
    assert first.fault in {"label-shifted", "label-noise"}
    assert first.certainty != "low"
    assert first.cases == (dataset.cases[4].name,)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "set"
    coarse = ((9.0, 10.0), (8.0, 9.0), (8.0, 9.0))
    write_phantoms(folder, num_cases=6, spacing_mm=coarse)
    return folder


def test_healthy_phantoms_have_no_finding(phantoms):
    assert diagnose_dataset(read_dataset(phantoms)).findings == ()


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
    (finding,) = diagnose_dataset(replace(dataset, cases=tuple(cases))).findings
    assert (finding.fault, finding.certainty) == ("intensity-units", "high")
    assert finding.where == "all 6 cases"


def test_phantoms_on_too_coarse_a_grid(phantoms):
    diagnosis = diagnose_dataset(read_dataset(phantoms), spacing_mm=(9.0, 100.0, 100.0))
    assert {finding.fault for finding in diagnosis.findings} == {"tiny-object-lost"}


def test_progress_and_no_readable_case(phantoms):
    dataset = read_dataset(phantoms)
    told: list[tuple[int, int]] = []
    missing = [replace(case, label=Path("nowhere.nii")) for case in dataset.cases[:2]]
    diagnosis = diagnose_dataset(
        replace(dataset, cases=tuple(missing)),
        progress=lambda done, total: told.append((done, total)),
    )
    (finding,) = diagnosis.findings
    assert finding.fault == "unreadable-case"
    assert finding.where == "all 2 cases"
    assert told == [(1, 2), (2, 2)]
    assert (diagnosis.checked, diagnosis.passed) == (("unreadable-case",), ())
    no_case = "no case is left: each has a fault that is told before"
    assert f"spacing-outlier: {no_case}" in diagnosis.left_out
    assert "duplicate-cases: 0 cases to judge, 2 are needed" in diagnosis.left_out
    assert "class-imbalance: no label has a class" in diagnosis.left_out


def test_a_diagnosis_is_json(phantoms):
    diagnosis = diagnose_dataset(read_dataset(phantoms), spacing_mm=(9.0, 100.0, 100.0))
    text = json.dumps(diagnosis.to_json())
    content = json.loads(text)
    assert content["findings"][0]["fault"] == "tiny-object-lost"
    assert "label-place-outlier: 6 cases to judge, 10 are needed" in content["left_out"]
    assert "label-place-outlier" not in content["passed"]


def test_what_three_cases_cannot_tell_is_left_out(phantoms):
    dataset = read_dataset(phantoms)
    diagnosis = diagnose_dataset(replace(dataset, cases=dataset.cases[:3]))
    for fault, reason in {
        "spacing-outlier": "3 cases to judge, 4 are needed",
        "label-empty": "a single class: 3 cases with a label, 4 are needed",
        "classes-swapped": "3 cases to judge, 6 are needed",
        "intensity-outlier": "3 cases to judge, 6 are needed",
        "label-volume-outlier": "3 cases to judge, 6 are needed",
        "label-place-outlier": "3 cases to judge, 10 are needed",
        "label-noise": "3 cases to judge, 6 are needed",
    }.items():
        assert f"{fault}: {reason}" in diagnosis.left_out
        assert (fault in diagnosis.passed) == (fault == "label-empty")
    assert diagnosis.is_healthy
    assert any(line.startswith("label-flipped: ") for line in diagnosis.left_out)


def test_each_fault_is_judged_or_left_out(phantoms):
    diagnosis = diagnose_dataset(read_dataset(phantoms))
    told = {line.split(":")[0] for line in diagnosis.left_out}
    assert len(told | set(diagnosis.checked)) == 16
    assert len(diagnosis.checked) == len(set(diagnosis.checked))
    assert diagnosis.passed == diagnosis.checked
