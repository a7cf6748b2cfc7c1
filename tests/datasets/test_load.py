"""Reading a case."""

from __future__ import annotations

import numpy as np
import pytest

from volunet.datasets.cases import Case
from volunet.datasets.layouts import read_dataset
from volunet.datasets.load import read_case
from volunet.errors import VolumeError


def test_channels_of_several_files(make_nnunet):
    dataset = read_dataset(make_nnunet(1))
    image, label = read_case(dataset.cases[0], dataset)
    assert label is not None
    assert (image.array.shape, image.array.dtype) == ((2, 8, 7, 6), np.float32)
    assert (label.array.shape, label.array.dtype) == ((1, 8, 7, 6), np.uint8)
    assert image.spacing_mm == (2.0, 1.5, 1.0)
    # The seeds of the fixture's two channels are 0 and 1.
    for channel in (0, 1):
        written = np.random.default_rng(channel).normal(100, 20, (6, 7, 8)).astype(np.float32)
        np.testing.assert_array_equal(image.array[channel], written.transpose(2, 1, 0))


def test_channels_of_one_file(make_msd, write_nifti):
    folder = make_msd(1, modality={"0": "T1", "1": "T2"})
    array = np.arange(6 * 7 * 8 * 2, dtype=np.int16).reshape(6, 7, 8, 2)
    write_nifti(folder / "imagesTr" / "case_00.nii.gz", array)
    dataset = read_dataset(folder)
    image, _ = read_case(dataset.cases[0], dataset)
    np.testing.assert_array_equal(image.array, array.transpose(3, 2, 1, 0))


def test_case_without_label(make_msd):
    dataset = read_dataset(make_msd(1))
    case = Case("x", dataset.cases[0].images)
    image, label = read_case(case, dataset)
    assert (image.num_channels, label) == (1, None)


def test_wrong_number_of_channels(make_msd):
    dataset = read_dataset(make_msd(1, modality={"0": "T1", "1": "T2"}))
    with pytest.raises(VolumeError, match=r"case_00\.nii\.gz: 1 channels\.\n.*declares 2: T1, T2"):
        read_case(dataset.cases[0], dataset)


def test_label_on_another_grid(make_msd, write_nifti):
    folder = make_msd(1)
    write_nifti(folder / "labelsTr" / "case_00.nii.gz", np.zeros((6, 7, 9), np.uint8))
    dataset = read_dataset(folder)
    with pytest.raises(VolumeError, match=r"image size \(8, 7, 6\), label size \(9, 7, 6\)"):
        read_case(dataset.cases[0], dataset)
