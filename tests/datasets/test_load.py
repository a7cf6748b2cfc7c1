"""Reading a case, and label values → class indices."""

from __future__ import annotations

import numpy as np
import pytest

from volunet.datasets.cases import Case
from volunet.datasets.layouts import read_dataset
from volunet.datasets.load import is_whole, read_case, to_class_indices
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


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.float64])
def test_indices_of_every_type(dtype):
    array = np.array([[0, 2], [9, 2]], dtype)
    indices = to_class_indices(array, (0, 2, 9))
    assert indices.dtype == np.uint8
    np.testing.assert_array_equal(indices, [[0, 1], [2, 1]])


def test_class_order_need_not_ascend():
    assert to_class_indices(np.array([5, 0, 3]), (0, 5, 3)).tolist() == [1, 0, 2]


def test_256_classes():
    values = tuple(range(0, 512, 2))
    assert to_class_indices(np.array(values), values).tolist() == list(range(256))


def test_longer_than_one_piece():
    array = np.zeros((3, 700, 700), np.uint8)
    array[2, 699, 699] = 4
    indices = to_class_indices(array, (0, 4))
    assert indices.sum() == indices[2, 699, 699] == 1


@pytest.mark.parametrize("offset", [9e-4, -9e-4])
def test_rounds_within_the_tolerance(offset):
    assert to_class_indices(np.array([3 + offset]), (0, 3)).tolist() == [1]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([0, 7, 3, 7], r"map: the undeclared values 3, 7\.\n.*declares 0, 1 \(tolerance 0\.001\)"),
        ([0, -1], r"undeclared values -1\.\n"),
        ([0, 1.0011], r"undeclared values 1\.0011\.\n"),
        ([0, np.nan], r"undeclared values nan\.\n"),
        ([0, np.inf], r"undeclared values inf\.\n"),
        (np.arange(2301.0), r"2,301 distinct values: looks like an image\.\n"),
        (np.linspace(0, 1, 60), r"60 distinct values: looks like an image\.\n"),
    ],
    ids=["undeclared", "negative", "fraction", "nan", "inf", "image", "probabilities"],
)
def test_undeclared_values(array, message):
    with pytest.raises(VolumeError, match=message):
        to_class_indices(np.asarray(array), (0, 1), "map")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.0009, 1.0011, 0.5], [True, True, False, False]),
        ([np.nan, np.inf, -np.inf], [False, False, False]),
        ([3, -4], [True, True]),
    ],
    ids=["tolerance", "not-finite", "integers"],
)
def test_is_whole(values, expected):
    assert is_whole(np.array(values)).tolist() == expected
