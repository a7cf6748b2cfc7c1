"""Label values become class indices, or are refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from volunet.errors import VolumeError
from volunet.tasks.segmentation.label_values import is_whole, to_class_indices


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
