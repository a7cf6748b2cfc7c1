"""The registry: which layout reads a path, and what is said about one that none reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from volunet.datasets.layouts import LAYOUTS, read_dataset
from volunet.errors import DatasetError

HIPPOCAMPUS = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "Task04_Hippocampus"


def test_each_layout_says_what_it_expects():
    assert [layout.EXPECTED.split(":")[0] for layout in LAYOUTS] == ["nnU-Net v2", "MSD", "Table"]


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_around_a_path_are_dropped(make_msd, quote):
    folder = make_msd(2)
    assert read_dataset(f"{quote}{folder}{quote}") == read_dataset(folder)


def test_dataset_json_itself_is_its_folder(make_msd):
    folder = make_msd(2)
    assert read_dataset(folder / "dataset.json") == read_dataset(str(folder))


def test_missing_path_is_shown_without_quotes(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere: no such file or folder\.") as caught:
        read_dataset(f'"{tmp_path}/nowhere"')
    assert '"' not in caught.value.where


def test_empty_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"(?s)an empty folder\..*MSD: .*Table: "):
        read_dataset(tmp_path)


def test_folder_without_description_lists_what_is_there(tmp_path):
    for index in range(7):
        (tmp_path / f"scan_{index}.nii.gz").touch()
    with pytest.raises(
        DatasetError, match=r"without dataset\.json \(found: scan_0\.nii\.gz, .* and 2 more\)"
    ):
        read_dataset(tmp_path)


def test_data_set_one_folder_deeper_is_suggested(make_msd):
    folder = make_msd(1)
    with pytest.raises(DatasetError, match=r"Did you mean .*Task99_Test/dataset\.json\?"):
        read_dataset(folder.parent)


def test_file_of_another_kind(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetError, match=r"notes\.txt: a \.txt file"):
        read_dataset(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"labels": 1,\n "training": [}', r"not JSON: Expecting value at line 2, column 15"),
        ("[1, 2]", r"a JSON list"),
        ("{}", r"has none of the keys that tell its layout"),
        (b"\xff\xfe{}", r"byte 0 is not UTF-8"),
    ],
    ids=["syntax", "list", "no-keys", "encoding"],
)
def test_broken_dataset_json(tmp_path, text, message):
    file = tmp_path / "dataset.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path)


@pytest.mark.skipif(not HIPPOCAMPUS.is_dir(), reason="MSD Task04_Hippocampus is not here")
def test_hippocampus():
    dataset = read_dataset(HIPPOCAMPUS)
    assert dataset.name == "Hippocampus"
    assert dataset.channels == ("MRI",)
    assert dataset.annotations.labels == {0: "background", 1: "Anterior", 2: "Posterior"}
    assert len(dataset.cases) == 200
    assert dataset.cases[0].name == "hippocampus_001"
    assert all(case.label is not None and case.label.is_file() for case in dataset.cases)
