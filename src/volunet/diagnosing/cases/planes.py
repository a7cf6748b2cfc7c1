"""Voxels counted a few planes at a time: of a large CT a map of 8 bytes a voxel is a gigabyte."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PIECE_VOXELS: Final = 1 << 20


def slabs(shape: Sequence[int]) -> Iterator[slice]:
    """Cut the first axis of an array into pieces of about `PIECE_VOXELS`, of one plane at least.

    Example:
        >>> list(slabs((3, 700, 700)))
        [slice(0, 2, None), slice(2, 3, None)]
    """
    depth, *plane = shape
    step = max(1, PIECE_VOXELS // math.prod(plane))
    for start in range(0, depth, step):
        yield slice(start, min(depth, start + step))


def count_values(array: NDArray[Any], num_values: int) -> NDArray[np.int64]:
    """How many voxels have each value, as `np.bincount` says, which casts all voxels to int64.

    Args:
        array: Whole numbers below `num_values`, (D, H, W).
        num_values: Values that are counted, from 0 up.

    Returns:
        (num_values,).
    """
    counts = np.zeros(num_values, np.int64)
    for planes in slabs(array.shape):
        counts += np.bincount(array[planes].reshape(-1), minlength=num_values)
    return counts
