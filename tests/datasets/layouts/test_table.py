"""The CSV table."""

from __future__ import annotations

import numpy as np
import pytest

from volunet.datasets.layouts import read_dataset
from volunet.errors import DatasetError


@pytest.fixture
def scans(tmp_path, write_nifti):
    """Two images, each with a label map: values 0 and 4, and 0 and 2 (as 2.0000001)."""
    for index, value in enumerate((4.0, 2.0000001)):
        array = np.zeros((4, 5, 6), np.float32)
        write_nifti(tmp_path / "scans" / f"{index}.nii.gz", array)
        array[0, 0, 0] = value
        write_nifti(tmp_path / "maps" / f"{index}.nii.gz", array)
    return tmp_path


def write_table(folder, text):
    file = folder / "cases.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_reads_cases_and_values(scans):
    text = "image,label\nscans/1.nii.gz, maps/1.nii.gz\n\nscans/0.nii.gz,maps/0.nii.gz\n"
    dataset = read_dataset(write_table(scans, text))
    assert (dataset.name, dataset.channels) == ("cases", ("image",))
    assert dataset.annotations.labels == {0: "background", 2: "class 2", 4: "class 4"}
    assert [case.name for case in dataset.cases] == ["0", "1"]
    assert dataset.cases[1].images == (scans / "scans/1.nii.gz",)
    assert dataset.cases[1].label == scans / "maps/1.nii.gz"


def test_channels_and_names(scans):
    header = "\ufeffID,image_CT,image_PET,Label,comment\n"
    text = header + "p9,scans/0.nii.gz,scans/1.nii.gz,maps/0.nii.gz,x\n"
    dataset = read_dataset(write_table(scans, text))
    assert dataset.channels == ("CT", "PET")
    assert dataset.cases[0].name == "p9"
    assert len(dataset.cases[0].images) == 2


def test_unreadable_or_imagelike_label_adds_no_class(scans, write_nifti):
    (scans / "maps" / "1.nii.gz").write_bytes(b"")
    write_nifti(scans / "maps" / "2.nii.gz", np.random.default_rng(0).random((4, 5, 6)))
    rows = "".join(f"{name},scans/0.nii.gz,maps/{name}.nii.gz\n" for name in "012")
    dataset = read_dataset(write_table(scans, "case,image,label\n" + rows))
    assert dataset.annotations.labels == {0: "background", 4: "class 4"}
    assert len(dataset.cases) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"cases\.csv: the columns \(none\)"),
        ("image;label\na;b\n", r"the columns image;label\.\s.*separated by commas"),
        ("image,mask\na,b\n", r"the columns image, mask"),
        ("image,image,label\na,b,c\n", r"the columns image more than once"),
        ("image,label\n", r"no labelled case"),
        ("image,label\na,b\n\nc,\n", r"line 4 has no label"),
        ("image,label\na\n", r"line 2 has no label"),
        ("case,image,label\np,a,b\np,c,d\n", r"appear more than once: p"),
        ("image,label\nscans/0.nii.gz,scans/0.nii.gz\n", r"1 label values"),
    ],
    ids=[
        "empty",
        "semicolons",
        "no-label-column",
        "column-twice",
        "no-row",
        "empty-cell",
        "short-row",
        "name-twice",
        "background-alone",
    ],
)
def test_wrong_tables(scans, text, message):
    with pytest.raises(DatasetError, match=message):
        read_dataset(write_table(scans, text))


def test_table_in_another_encoding(scans):
    (scans / "cases.csv").write_bytes("image,label\nschädel,b\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"not a readable CSV table"):
        read_dataset(scans / "cases.csv")
