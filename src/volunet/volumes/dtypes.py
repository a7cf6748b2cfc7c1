"""Which number types the files of scans hold, and what becomes of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from volunet.errors import VolumeError

_KEPT: Final = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")
_SAFE: Final = (np.uint8, np.int16, np.uint16, np.int32, np.uint32)
"""Tried in this order for 64-bit integers."""


def storable(array: NDArray[Any], where: str | Path) -> NDArray[Any]:
    """The array in a type that NIfTI, NRRD and MHA files hold and other programs read.

    Integers of up to 32 bits and float32 and float64 stay as they are. bool becomes uint8, float16
    becomes float32. Integers of 64 bits, which few programs read, become the first of uint8, int16,
    uint16, int32 and uint32 that holds every value.

    Raises:
        VolumeError: Complex numbers and other types, or integers beyond 32 bits.
    """
    code = array.dtype.str[1:]
    if code in _KEPT:
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if code == "b1":
        return array.astype(np.uint8)
    if code == "f2":
        return array.astype(np.float32)
    if code in ("i8", "u8"):
        low, high = int(array.min()), int(array.max())
        for kind in _SAFE:
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                return array.astype(kind)
        found = f"{array.dtype.name} values from {low} to {high}"
    else:
        found = f"an array of {array.dtype.name}"
    raise VolumeError(
        where,
        found,
        "Files of scans hold bool, float16…64 and integers that fit in 32 bits.",
        "Convert the array first, or give labels smaller numbers.",
    )


def smallest_label_dtype(values: tuple[int, ...]) -> np.dtype[Any]:
    """The first of uint8, uint16 and int32 that holds every label value.

    Raises:
        VolumeError: A value beyond int32.
    """
    for kind in (np.uint8, np.uint16, np.int32):
        if np.iinfo(kind).min <= min(values) and max(values) <= np.iinfo(kind).max:
            return np.dtype(kind)
    raise VolumeError(
        "label values",
        f"values from {min(values)} to {max(values)}",
        "Label values fit in 32 bits.",
        "Give the classes smaller numbers.",
    )
