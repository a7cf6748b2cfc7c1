"""Matching by name, and class names from ``dataset.json`` in both of its directions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from volunet.errors import DatasetError
from volunet.tasks.segmentation.label_pairs import LabelNames, find_label_names, find_pairs


def folder(path: Path, *names: str) -> Path:
    path.mkdir(parents=True)
    for name in names:
        (path / name).touch()
    return path


def test_endings_may_differ_and_the_rest_is_named(tmp_path: Path) -> None:
    predictions = folder(
        tmp_path / "p", "a.nii.gz", "b.1.mha", "d.nrrd", "plans.json", "._a.nii.gz"
    )
    references = folder(tmp_path / "r", "a.nii", "b.1.NRRD", "c.nii.gz", "dataset.json")
    found = find_pairs(predictions, references)
    assert found.pairs == {
        "a": (predictions / "a.nii.gz", references / "a.nii"),
        "b.1": (predictions / "b.1.mha", references / "b.1.NRRD"),
    }
    assert found.missing == ("c",)
    assert found.extra == ("d",)


def test_two_files_are_a_pair_whatever_their_names(tmp_path: Path) -> None:
    here = folder(tmp_path / "x", "mine.nii.gz", "truth.nrrd")
    found = find_pairs(here / "mine.nii.gz", here / "truth.nrrd")
    assert found.pairs == {"truth": (here / "mine.nii.gz", here / "truth.nrrd")}
    assert (found.missing, found.extra) == ((), ())


def test_a_file_against_a_folder_looks_for_its_partner_only(tmp_path: Path) -> None:
    predictions = folder(tmp_path / "p", "a.nii.gz", "b.nii.gz")
    references = folder(tmp_path / "r", "a.nii.gz", "c.nii.gz")
    one_prediction = find_pairs(predictions / "a.nii.gz", references)
    one_reference = find_pairs(predictions, references / "a.nii.gz")
    for found in (one_prediction, one_reference):
        assert list(found.pairs) == ["a"]
        assert (found.missing, found.extra) == ((), ())


def test_nothing_matches(tmp_path: Path) -> None:
    predictions = folder(tmp_path / "p", *(f"pred_{n}.nii.gz" for n in range(7)))
    references = folder(tmp_path / "r", "case_1.mha")
    with pytest.raises(DatasetError) as caught:
        find_pairs(predictions, references)
    message = str(caught.value)
    assert "pred_0.nii.gz, pred_1.nii.gz" in message
    assert "pred_4.nii.gz and 2 more" in message
    assert "References: case_1.mha" in message
    assert str(references) in message


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"Predictions: no label map\."):
        find_pairs(folder(tmp_path / "p", "notes.txt"), folder(tmp_path / "r", "a.nii"))


def test_two_files_with_one_name(tmp_path: Path) -> None:
    predictions = folder(tmp_path / "p", "a.nii", "a.nii.gz")
    with pytest.raises(DatasetError, match=r"both a\.nii and a\.nii\.gz"):
        find_pairs(predictions, folder(tmp_path / "r", "a.nii"))


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file or folder"):
        find_pairs(tmp_path / "gone", folder(tmp_path / "r", "a.nii"))


@pytest.mark.parametrize("place", ["labels", "."], ids=["beside", "above"])
@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "2": "femur", "1": "hip bone"},
        {"Background": 0, "femur": 2, "hip bone": 1, "both": [1, 2]},
    ],
    ids=["Decathlon", "nnU-Net"],
)
def test_class_names(tmp_path: Path, place: str, labels: dict[str, object]) -> None:
    references = folder(tmp_path / "labels", "a.nii")
    (tmp_path / place / "dataset.json").write_text(json.dumps({"labels": labels}))
    expected = LabelNames({1: "hip bone", 2: "femur"})
    assert find_label_names(references) == expected
    assert find_label_names(references / "a.nii") == expected


def test_the_ignore_label_is_no_class(tmp_path: Path) -> None:
    references = folder(tmp_path / "labels")
    labels = {"background": 0, "femur": 1, "ignore": 2}
    (references / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert find_label_names(references) == LabelNames({1: "femur"}, ignored=2)


@pytest.mark.parametrize("content", ["[]", "{}", '{"labels": []}', '{"labels": {"a": [1]}}'])
def test_a_json_that_declares_no_classes(tmp_path: Path, content: str) -> None:
    references = folder(tmp_path / "labels")
    (references / "dataset.json").write_text(content)
    assert find_label_names(references) is None


def test_a_damaged_json(tmp_path: Path) -> None:
    references = folder(tmp_path / "labels")
    (references / "dataset.json").write_text("{")
    with pytest.raises(DatasetError, match="not JSON"):
        find_label_names(references)
