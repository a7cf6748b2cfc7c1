"""The nnU-Net v2 layout, and the ways in which its file names go wrong."""

from __future__ import annotations

import logging

import pytest

from volunet.datasets.layouts import nnunet, read_dataset
from volunet.errors import DatasetError


def test_reads_channels_in_order(make_nnunet):
    folder = make_nnunet(2)
    dataset = read_dataset(folder)
    assert dataset.name == "Dataset099_Test"
    assert dataset.channels == ("CT", "PET")
    assert dataset.annotations.labels == {0: "background", 1: "one", 2: "two"}
    assert [case.name for case in dataset.cases] == ["case_00", "case_01"]
    assert [path.name for path in dataset.cases[1].images] == [
        "case_01_0000.nii.gz",
        "case_01_0001.nii.gz",
    ]
    assert dataset.cases[1].label == folder / "labelsTr" / "case_01.nii.gz"


def test_hidden_files_and_other_endings_are_ignored(make_nnunet):
    folder = make_nnunet(1)
    (folder / "labelsTr" / "._case_09.nii.gz").touch()
    (folder / "labelsTr" / "readme.txt").touch()
    assert [case.name for case in read_dataset(folder).cases] == ["case_00"]


def test_listed_cases(make_nnunet):
    folder = make_nnunet(
        1, dataset={"p1": {"images": ["../far/a.nii.gz", "b.nii.gz"], "label": "c.nii.gz"}}
    )
    (case,) = read_dataset(folder).cases
    assert case.name == "p1"
    assert case.images == (folder / "../far/a.nii.gz", folder / "b.nii.gz")
    assert case.label == folder / "c.nii.gz"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"channel_names": None}, r'the key "channel_names" is missing'),
        ({"file_ending": None}, r'the key "file_ending" is missing'),
        ({"file_ending": "nii.gz"}, r"\"file_ending\" holds 'nii\.gz'"),
        ({"file_ending": ".mha"}, r"imagesTr: no file that ends in \.mha \(found: case_00_0000"),
        ({"labels": None}, r'the key "labels" is missing'),
        ({"labels": {"background": 0, "all": [1, 2]}}, r"not supported yet"),
        ({"dataset": {"p1": {"images": ["a.nii.gz"], "label": "b"}}}, r"1 files\.\s.*CT, PET"),
        ({"dataset": {"p1": {"images": "a.nii.gz", "label": "b"}}}, r'"dataset\.p1" holds'),
    ],
    ids=[
        "channels",
        "ending",
        "ending-without-dot",
        "other-ending",
        "labels",
        "regions",
        "few-images",
        "images-text",
    ],
)
def test_wrong_keys(make_nnunet, keys, message):
    with pytest.raises(DatasetError, match=message):
        read_dataset(make_nnunet(1, **keys))


def test_missing_folder(make_nnunet):
    folder = make_nnunet(1)
    (folder / "labelsTr").rename(folder / "labels")
    with pytest.raises(DatasetError, match=r"labelsTr: no such folder"):
        read_dataset(folder)


def test_patients_mistaken_for_channels(make_nnunet, write_nifti):
    folder = make_nnunet(1, ("CT",))
    (folder / "imagesTr" / "case_00_0000.nii.gz").rename(folder / "imagesTr" / "PID_0000.nii.gz")
    for patient in range(1, 5):
        (folder / "imagesTr" / f"PID_{patient:04d}.nii.gz").touch()
    with pytest.raises(
        DatasetError,
        match=r"(?s)PID: 5 \(0000, 0001, 0002, 0003, 0004\)\.\n.*declares 1: CT\. Are these "
        r"patients\?\n.*PID_0001_0000\.nii\.gz",
    ):
        read_dataset(folder)


def test_label_with_channel_suffix_is_matched_and_said(make_nnunet, caplog):
    folder = make_nnunet(2, ("CT",))
    label = folder / "labelsTr" / "case_01.nii.gz"
    label.rename(folder / "labelsTr" / "case_01_0000.nii.gz")
    with caplog.at_level(logging.WARNING):
        dataset = read_dataset(folder)
    assert [case.name for case in dataset.cases] == ["case_00", "case_01"]
    assert dataset.cases[1].label == folder / "labelsTr" / "case_01_0000.nii.gz"
    assert "case_01_0000.nii.gz: the label carries a channel suffix; matched to case_01" in (
        caplog.text
    )


def test_label_with_channel_suffix_beside_the_case_s_own(make_nnunet):
    folder = make_nnunet(1, ("CT",))
    (folder / "labelsTr" / "case_00_0000.nii.gz").touch()
    with pytest.raises(DatasetError, match=r"carries a channel suffix, and is not the only one"):
        read_dataset(folder)


def test_case_whose_own_name_ends_in_four_digits(make_nnunet):
    folder = make_nnunet(1, ("CT",))
    image, label = folder / "imagesTr", folder / "labelsTr"
    (image / "case_00_0000.nii.gz").rename(image / "PID_0003_0000.nii.gz")
    (label / "case_00.nii.gz").rename(label / "PID_0003.nii.gz")
    (case,) = read_dataset(folder).cases
    assert case.name == "PID_0003"
    assert case.images[0].is_file()


def test_single_channel_without_suffix_is_taken(make_nnunet, caplog):
    folder = make_nnunet(1, ("CT",))
    image = folder / "imagesTr"
    (image / "case_00_0000.nii.gz").rename(image / "case_00.nii.gz")
    (case,) = read_dataset(folder).cases
    assert case.images == (image / "case_00.nii.gz",)
    assert "1 images carry no channel suffix" in caplog.text


def test_images_without_suffix_are_ambiguous_with_two_channels(make_nnunet):
    folder = make_nnunet(1)
    (folder / "imagesTr" / "case_01.nii.gz").touch()
    with pytest.raises(DatasetError, match=r"1 images without a channel suffix: case_01"):
        read_dataset(folder)


def test_image_with_and_without_suffix(make_nnunet):
    folder = make_nnunet(1, ("CT",))
    (folder / "imagesTr" / "case_00.nii.gz").touch()
    with pytest.raises(DatasetError, match=r"the same case as case_00_0000\.nii\.gz"):
        read_dataset(folder)


def test_images_without_label_are_left_out_and_said(make_nnunet, caplog):
    folder = make_nnunet(2)
    (folder / "labelsTr" / "case_01.nii.gz").unlink()
    assert [case.name for case in read_dataset(folder).cases] == ["case_00"]
    assert "1 images have no label map and are left out: case_01" in caplog.text


def test_missing_channel_keeps_its_place(make_nnunet):
    folder = make_nnunet(1)
    (folder / "imagesTr" / "case_00_0001.nii.gz").unlink()
    (case,) = read_dataset(folder).cases
    assert case.images[1] == folder / "imagesTr" / "case_00_0001.nii.gz"


def test_does_not_claim_msd(make_msd):
    assert not nnunet.find(make_msd(1))
