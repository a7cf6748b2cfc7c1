"""The MSD layout."""

from __future__ import annotations

import pytest

from volunet.datasets.layouts import msd, read_dataset
from volunet.errors import DatasetError


def test_reads_cases_in_place(make_msd):
    folder = make_msd(2)
    dataset = read_dataset(folder)
    assert (dataset.name, dataset.root, dataset.channels) == ("Test", folder, ("MRI",))
    assert dataset.annotations.labels == {0: "background", 1: "left part", 2: "rest"}
    assert [case.name for case in dataset.cases] == ["case_00", "case_01"]
    assert dataset.cases[1].images == (folder / "imagesTr" / "case_01.nii.gz",)
    assert dataset.cases[1].label == folder / "labelsTr" / "case_01.nii.gz"


def test_macos_leftovers_are_skipped(make_msd):
    pair = {"image": "./imagesTr/case_00.nii.gz", "label": "./labelsTr/case_00.nii.gz"}
    leftover = {"image": "./imagesTr/._case_00.nii.gz", "label": "./labelsTr/._case_00.nii.gz"}
    dataset = read_dataset(make_msd(1, training=[leftover, pair]))
    assert [case.name for case in dataset.cases] == ["case_00"]


def test_nameless_data_set_takes_its_folder_s_name(make_msd):
    assert read_dataset(make_msd(1, name=None)).name == "Task99_Test"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"training": None}, r'dataset\.json: the key "training" is missing \(keys found: labels,'),
        ({"labels": None}, r'the key "labels" is missing'),
        ({"modality": None}, r'the key "modality" is missing'),
        ({"training": "all"}, r"\"training\" holds 'all'\.\s.*must be a list"),
        ({"training": []}, r"no labelled case"),
        ({"training": [{"image": "a.nii.gz"}]}, r'"training\[0\]" holds'),
        ({"training": ["a.nii.gz"]}, r'"training\[0\]" holds \'a\.nii\.gz\''),
    ],
    ids=["training", "labels", "modality", "text", "empty", "no-label", "no-object"],
)
def test_wrong_keys(make_msd, keys, message):
    with pytest.raises(DatasetError, match=message):
        read_dataset(make_msd(1, **keys))


def test_does_not_claim_nnunet(make_nnunet):
    assert not msd.find(make_nnunet(1))
