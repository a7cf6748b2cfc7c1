"""Every kind of bad case is found, named and explained; good ones pass."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from volunet.datasets.check import check_cases, check_dataset
from volunet.datasets.layouts import read_dataset
from volunet.errors import DatasetError

HIPPOCAMPUS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "Task04_Hippocampus"

AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])


def rewrite(path: Path, array: np.ndarray | None = None, affine: np.ndarray | None = None) -> None:
    old = nibabel.load(path)
    array = np.asanyarray(old.dataobj) if array is None else array
    nibabel.save(nibabel.Nifti1Image(array, old.affine if affine is None else affine), path)


def with_voxels(**values: float) -> np.ndarray:
    array = np.zeros((6, 7, 8), np.float32)
    array.reshape(-1)[: len(values)] = list(values.values())
    return array


def truncate(path: Path) -> None:
    # Noise does not compress, so that half of the file is about half of the voxels.
    rewrite(path, np.random.default_rng(0).normal(size=(6, 7, 8)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def break_checksum(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 0xFF
    path.write_bytes(content)


def shifted(millimetres: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] = millimetres
    return affine


def rotated() -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, :3] = [[0.995, -0.15, 0], [0.0998, 1.4925, 0], [0, 0, 2]]
    return affine


Spoil = Callable[[Path, Path], object]

BAD: dict[str, tuple[Spoil, str, str]] = {
    "missing-image": (
        lambda image, label: image.unlink(),
        "imagesTr",
        r"no such file \(channel 0, MRI, of case case_01\)",
    ),
    "missing-label": (
        lambda image, label: label.unlink(),
        "labelsTr",
        r"no such file \(label map of case case_01\)",
    ),
    "empty-image": (lambda image, label: image.write_bytes(b""), "imagesTr", r"the file is empty"),
    "empty-label": (lambda image, label: label.write_bytes(b""), "labelsTr", r"the file is empty"),
    "truncated": (
        lambda image, label: truncate(image),
        "imagesTr",
        r"gzip stream ends early: .* % of the voxels are present",
    ),
    "checksum": (
        lambda image, label: break_checksum(image),
        "imagesTr",
        r"gzip stream is damaged",
    ),
    "text": (
        lambda image, label: image.write_bytes(gzip.compress(b"version https://git-lfs\n")),
        "imagesTr",
        r"no NIfTI header",
    ),
    "nan": (
        lambda image, label: rewrite(image, with_voxels(a=np.nan, b=np.nan, c=np.inf)),
        "imagesTr",
        r"2 voxels are NaN and 1 infinite, of 336",
    ),
    "time-series": (
        lambda image, label: rewrite(image, np.zeros((6, 7, 8, 5), np.float32)),
        "imagesTr",
        r"4 axes",
    ),
    "label-4d": (
        lambda image, label: rewrite(label, np.zeros((6, 7, 8, 2), np.uint8)),
        "labelsTr",
        r"4 axes",
    ),
    "shape": (
        lambda image, label: rewrite(label, np.zeros((6, 7, 9), np.uint8)),
        "labelsTr",
        r"image size \(8, 7, 6\), label size \(9, 7, 6\)",
    ),
    "spacing": (
        lambda image, label: rewrite(label, affine=np.diag([1.0, 1.5, 2.5, 1.0])),
        "labelsTr",
        r"image spacing \(2, 1\.5, 1\) mm, label spacing \(2\.5, 1\.5, 1\) mm",
    ),
    "origin": (
        lambda image, label: rewrite(label, affine=shifted(100.0)),
        "labelsTr",
        r"origins differ by 100 mm",
    ),
    "direction": (
        lambda image, label: rewrite(label, affine=rotated()),
        "labelsTr",
        r"an axis differs by 5\.7",
    ),
    "undeclared": (
        lambda image, label: rewrite(label, with_voxels(a=1, b=3, c=255)),
        "labelsTr",
        r"undeclared values 3, 255",
    ),
    "fraction": (
        lambda image, label: rewrite(label, with_voxels(a=1, b=1.5)),
        "labelsTr",
        r"undeclared values 1\.5",
    ),
    "label-nan": (
        lambda image, label: rewrite(label, with_voxels(a=np.nan)),
        "labelsTr",
        r"1 voxels are NaN and 0 infinite",
    ),
    "image-as-label": (
        lambda image, label: label.write_bytes(image.read_bytes()),
        "labelsTr",
        r"336 distinct values: looks like an image",
    ),
}


@pytest.mark.parametrize(("spoil", "folder", "message"), BAD.values(), ids=BAD.keys())
def test_bad_case(make_msd, spoil, folder, message):
    root = make_msd(3)
    name = "case_01.nii.gz"
    dataset = read_dataset(root)
    spoil(root / "imagesTr" / name, root / "labelsTr" / name)
    (problem,) = check_cases(dataset)
    assert problem.case == "case_01"
    assert problem.file == root / folder / name
    assert problem.expected
    assert problem.do
    with pytest.raises(
        DatasetError, match=rf"1 of 3 cases cannot be used:\n  {folder}/{name}: .*({message})"
    ):
        check_dataset(dataset)


def test_good_cases_pass_unchanged(make_msd):
    dataset = read_dataset(make_msd(3))
    assert check_cases(dataset) == []
    assert check_dataset(dataset) is dataset


def test_all_bad_cases_are_named_at_once(make_msd):
    root = make_msd(5)
    (root / "imagesTr" / "case_00.nii.gz").unlink()
    (root / "labelsTr" / "case_00.nii.gz").unlink()
    rewrite(root / "labelsTr" / "case_03.nii.gz", with_voxels(a=9))
    with pytest.raises(DatasetError, match=r"2 of 5 cases cannot be used") as caught:
        check_dataset(read_dataset(root))
    message = str(caught.value)
    for part in (
        "imagesTr/case_00.nii.gz: no such file",
        "labelsTr/case_00.nii.gz: no such file",
        "labelsTr/case_03.nii.gz: the undeclared values 9. The data set declares 0, 1, 2",
        "--skip-bad",
    ):
        assert part in message
    assert "case_01" not in message


def test_skip_bad_returns_the_good_and_says_so(make_msd, caplog):
    root = make_msd(3)
    (root / "imagesTr" / "case_01.nii.gz").unlink()
    dataset = read_dataset(root)
    good = check_dataset(dataset, skip_bad=True)
    assert [case.name for case in good.cases] == ["case_00", "case_02"]
    assert good == replace(dataset, cases=(dataset.cases[0], dataset.cases[2]))
    assert "1 of 3 cases cannot be used and are left out:\n  imagesTr/case_01.nii.gz" in caplog.text


def test_skip_bad_with_no_good_case_left(make_msd):
    root = make_msd(1)
    (root / "imagesTr" / "case_00.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"(?s)1 of 1 cases .*no good one is left"):
        check_dataset(read_dataset(root), skip_bad=True)


def test_missing_channel_is_named_by_case(make_nnunet):
    root = make_nnunet(2)
    (root / "imagesTr" / "case_01_0001.nii.gz").unlink()
    (problem,) = check_cases(read_dataset(root))
    assert problem.file.name == "case_01_0001.nii.gz"
    assert problem.found == "no such file (channel 1, PET, of case case_01)"
    assert problem.expected == "Each case has 2 channels: CT, PET."


def test_channel_on_another_grid_is_named(make_nnunet):
    root = make_nnunet(2)
    rewrite(root / "imagesTr" / "case_01_0001.nii.gz", affine=np.diag([1.0, 1.5, 2.5, 1.0]))
    (problem,) = check_cases(read_dataset(root))
    assert problem.file.name == "case_01_0001.nii.gz"
    assert "channel PET spacing (2.5, 1.5, 1) mm" in problem.found


def test_nan_in_the_second_channel_names_its_file(make_nnunet):
    root = make_nnunet(1)
    rewrite(root / "imagesTr" / "case_00_0001.nii.gz", with_voxels(a=np.nan))
    (problem,) = check_cases(read_dataset(root))
    assert problem.file.name == "case_00_0001.nii.gz"


def test_wrong_number_of_channels_in_one_file(make_msd):
    root = make_msd(2, modality={"0": "T1", "1": "T2"})
    rewrite(root / "imagesTr" / "case_00.nii.gz", np.zeros((6, 7, 8, 3), np.float32))
    rewrite(root / "imagesTr" / "case_01.nii.gz", np.zeros((6, 7, 8, 2), np.float32))
    (problem,) = check_cases(read_dataset(root))
    assert (problem.case, problem.found) == ("case_00", "3 channels")


def test_label_of_background_alone_is_logged(make_msd, caplog):
    root = make_msd(2)
    rewrite(root / "labelsTr" / "case_01.nii.gz", np.zeros((6, 7, 8), np.uint8))
    with caplog.at_level(logging.WARNING):
        assert check_cases(read_dataset(root)) == []
    assert "case_01.nii.gz: the label map holds background alone" in caplog.text
    assert "case_00" not in caplog.text


def test_nearly_whole_labels_are_good(make_msd):
    root = make_msd(1)
    rewrite(root / "labelsTr" / "case_00.nii.gz", with_voxels(a=1.0000001, b=2.0009))
    assert check_cases(read_dataset(root)) == []


def test_progress_counts_every_case(make_msd):
    told: list[tuple[int, int]] = []
    check_cases(read_dataset(make_msd(3)), lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.skipif(not HIPPOCAMPUS.is_dir(), reason="MSD Task04_Hippocampus is not here")
def test_hippocampus_has_no_problem_in_its_first_20_cases():
    dataset = read_dataset(HIPPOCAMPUS)
    assert check_cases(replace(dataset, cases=dataset.cases[:20])) == []
