from __future__ import annotations

import numpy as np
import pytest

from volunet.errors import VolumeError
from volunet.volumes.dtypes import smallest_label_dtype, storable


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_types_that_files_hold_are_kept_without_a_copy(dtype: str) -> None:
    array = np.ones((2, 2), dtype)
    assert storable(array, "a") is array


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 1], "?", "uint8"),
        ([0, 1], "f2", "float32"),
        ([0, 255], "i8", "uint8"),
        ([-1, 255], "i8", "int16"),
        ([0, 40_000], "i8", "uint16"),
        ([-1, 40_000], "i8", "int32"),
        ([0, 2**32 - 1], "u8", "uint32"),
        ([1, 2], ">i2", "int16"),
    ],
)
def test_other_types_become_safe_ones(values: list[int], dtype: str, expected: str) -> None:
    stored = storable(np.array(values, dtype), "a")
    assert stored.dtype == np.dtype(expected)
    assert stored.tolist() == values


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.array([0, 2**32]), "int64 values from 0 to 4294967296"),
        (np.array([-1, 2**31]), "int64 values from -1 to 2147483648"),
        (np.array([1j]), "an array of complex128"),
        (np.array(["a"]), "an array of str"),
    ],
    ids=["beyond_uint32", "beyond_int32", "complex", "text"],
)
def test_what_no_file_holds_is_refused(array: np.ndarray, found: str) -> None:
    with pytest.raises(VolumeError, match=f"case_07: {found}"):
        storable(array, "case_07")


@pytest.mark.parametrize(
    ("values", "dtype"),
    [((0, 255), "u1"), ((0, 256), "u2"), ((-1, 3), "i4"), ((0, 70_000), "i4")],
)
def test_smallest_label_dtype(values: tuple[int, ...], dtype: str) -> None:
    assert smallest_label_dtype(values) == np.dtype(dtype)


def test_label_values_beyond_int32_are_refused() -> None:
    with pytest.raises(VolumeError, match="from 0 to 2147483648"):
        smallest_label_dtype((0, 2**31))
