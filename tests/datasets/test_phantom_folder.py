"""The data set on disk: files, JSON, order of writing, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from volunet.datasets.phantom import LANDMARKS, make_phantom, write_phantoms
from volunet.errors import ConfigError, OutputError

COARSE_MM = ((9.0, 11.0), (8.0, 9.0), (8.0, 9.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantoms") / "data"
    write_phantoms(root, num_cases=2, seed=7, spacing_mm=COARSE_MM)
    return root


def test_folder_holds_an_nnunet_data_set(folder: Path) -> None:
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert files == [
        "dataset.json",
        "imagesTr/phantom_000_0000.nii.gz",
        "imagesTr/phantom_001_0000.nii.gz",
        "labelsTr/phantom_000.nii.gz",
        "labelsTr/phantom_001.nii.gz",
        "landmarksTr/phantom_000.json",
        "landmarksTr/phantom_001.json",
    ]
    dataset = json.loads((folder / "dataset.json").read_text())
    assert dataset["channel_names"] == {"0": "CT"}
    assert dataset["labels"] == {
        "background": 0, "left hip": 1, "right hip": 2, "left femur": 3, "right femur": 4,
    }  # fmt: skip
    assert dataset["numTraining"] == 2
    assert dataset["file_ending"] == ".nii.gz"


def test_files_hold_the_phantom_that_their_seed_makes(folder: Path) -> None:
    landmarks = json.loads((folder / "landmarksTr" / "phantom_001.json").read_text())
    phantom = make_phantom(landmarks["seed"], COARSE_MM)
    image = nib.load(folder / "imagesTr" / "phantom_001_0000.nii.gz")
    label = nib.load(folder / "labelsTr" / "phantom_001.nii.gz")
    assert image.get_data_dtype() == np.int16
    assert label.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(
        np.asarray(image.dataobj), phantom.image.array[0].transpose(2, 1, 0)
    )
    np.testing.assert_array_equal(
        np.asarray(label.dataobj), phantom.label.array[0].transpose(2, 1, 0)
    )
    # NIfTI keeps its affine as float32: 1e-4 mm at 300 mm.
    np.testing.assert_allclose(image.affine, phantom.image.affine, atol=1e-3)
    for name, value in zip(LANDMARKS, (3, 4), strict=True):
        place = np.array([*landmarks["landmarks_mm"][name], 1.0])
        ijk = (np.linalg.inv(image.affine) @ place)[:3]
        np.testing.assert_allclose(ijk, landmarks["landmarks_voxel"][name], atol=1e-3)
        assert np.asarray(label.dataobj)[tuple(np.rint(ijk).astype(int))] == value


def test_another_seed_shares_no_phantom(tmp_path: Path, folder: Path) -> None:
    write_phantoms(tmp_path / "other", num_cases=1, seed=8, spacing_mm=COARSE_MM)
    seeds = [
        json.loads(path.read_text())["seed"]
        for root in (folder, tmp_path / "other")
        for path in sorted((root / "landmarksTr").iterdir())
    ]
    assert len(set(seeds)) == 3


def test_progress_counts_the_cases(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_phantoms(tmp_path, 2, progress=lambda *call: calls.append(call), spacing_mm=COARSE_MM)
    assert calls == [(1, 2), (2, 2)]


def test_an_interrupted_run_leaves_no_dataset_json(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path, 2, progress=interrupt, spacing_mm=COARSE_MM)
    assert (tmp_path / "labelsTr" / "phantom_000.nii.gz").exists()
    assert not (tmp_path / "dataset.json").exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(OutputError, match=tmp_path.name):
        write_phantoms(tmp_path, 1, spacing_mm=COARSE_MM)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_cases": 0}, "num_cases: 0 phantoms"),
        ({"seed": -1}, "seed: -1"),
        ({"spacing_mm": ((0.0, 1.0),) * 3}, "spacing_mm, depth"),
    ],
    ids=["no cases", "negative seed", "spacing"],
)
def test_bad_numbers_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        write_phantoms(tmp_path / "new", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()
