"""Voxels in a file without a header, with any one axis slowest, read and written in parts.

A slab along an axis is one piece of the file where that axis is slowest and thousands of crumbs
elsewhere. Plain reads and writes, because pages of a memory map count as the process's memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from volunet.errors import ShapeError
from volunet.volumes.axes import Shape3
from volunet.volumes.disk import is_full, unwritable

BLOCK_BYTES = 1 << 24
"""Voxels are moved in blocks of at most 16 MiB (or one row, should it be longer)."""

Box = tuple[slice, slice, slice]
"""Part of (D, H, W); every slice has its begin and end."""


def blocks(shape: Shape3, axis: int, start: int, stop: int, itemsize: int) -> Iterator[Box]:
    """Cut planes of one axis into boxes of at most `BLOCK_BYTES`, in the order of a `RawFile`.

    Args:
        shape: Size in voxels, (D, H, W).
        axis: The slowest axis, 0, 1, 2 for D, H, W.
        start: First plane of that axis.
        stop: One past the last plane.
        itemsize: Bytes a voxel.

    Yields:
        Boxes of several whole planes, or, where planes are too large, of several rows of one.

    Example:
        >>> [box[0] for box in blocks((5, 1024, 2048), 0, 1, 5, itemsize=4)]
        [slice(1, 3, None), slice(3, 5, None)]
    """
    second, third = (other for other in range(3) if other != axis)
    row_bytes = shape[third] * itemsize
    rows, planes = shape[second], BLOCK_BYTES // (shape[second] * row_bytes)
    if planes == 0:
        rows, planes = max(1, BLOCK_BYTES // row_bytes), 1
    box = [slice(0, length) for length in shape]
    for first in range(start, stop, planes):
        box[axis] = slice(first, min(first + planes, stop))
        for row in range(0, shape[second], rows):
            box[second] = slice(row, min(row + rows, shape[second]))
            yield box[0], box[1], box[2]


@dataclass(frozen=True)
class RawFile:
    """An array (C, D, H, W) on the disk, in the order C, `axis`, then the other two axes.

    Args:
        path: The file.
        shape: Size in voxels, (D, H, W).
        num_channels: Values a voxel.
        dtype: Type of a value, byte order included.
        axis: The slowest axis but for C: 0, 1, 2 for D, H, W.
        offset: Byte at which the array begins.
    """

    path: Path
    shape: Shape3
    num_channels: int
    dtype: np.dtype[Any]
    axis: int
    offset: int = 0

    @property
    def num_bytes(self) -> int:
        """Bytes of the array."""
        return self.num_channels * math.prod(self.shape) * self.dtype.itemsize

    def read(self, file: int, channel: int, box: Box) -> NDArray[Any]:
        """Read a box of one channel.

        Args:
            file: Descriptor of the open file.
            channel: Index in C.
            box: Which voxels; cheap if it is whole in the two fast axes.

        Returns:
            Voxels in the file's byte order, in (D, H, W) order, not always contiguous.

        Raises:
            EOFError: The file is shorter than it should be.
        """
        slow, second, third = self._file_order(box)
        wanted = third
        if _length(second) > 1:  # rows and not parts of them: one read instead of thousands
            third = slice(0, self._file_shape[2])
        block = np.empty((_length(slow), _length(second), _length(third)), self.dtype)
        for run, position in self._runs(block, channel, (slow, second, third)):
            _read(file, run, position)
        cut = block[..., wanted.start - third.start : wanted.stop - third.start]
        return np.moveaxis(cut, 0, self.axis)

    def write(self, file: int, channel: int, box: Box, block: NDArray[Any]) -> None:
        """Write a box of one channel; cheap if it is whole in the two fast axes.

        Args:
            file: Descriptor of the open file.
            channel: Index in C.
            box: Which voxels.
            block: Voxels in (D, H, W) order, converted to the file's type.
        """
        ordered = np.ascontiguousarray(np.moveaxis(block, self.axis, 0), self.dtype)
        for run, position in self._runs(ordered, channel, self._file_order(box)):
            _write(file, run, position)

    @property
    def _file_shape(self) -> Shape3:
        second, third = (length for axis, length in enumerate(self.shape) if axis != self.axis)
        return self.shape[self.axis], second, third

    def _file_order(self, box: Box) -> Box:
        second, third = (part for axis, part in enumerate(box) if axis != self.axis)
        return box[self.axis], second, third

    def _runs(
        self, block: NDArray[Any], channel: int, box: Box
    ) -> Iterator[tuple[memoryview, int]]:
        """Contiguous pieces of a block in file order, and the byte of the file where each goes."""
        length, num_rows, num_columns = self._file_shape
        slow, second, third = box
        rows_whole = _length(third) == num_columns
        planes_whole = rows_whole and _length(second) == num_rows
        for plane in range(1 if planes_whole else _length(slow)):
            for row in range(1 if rows_whole else _length(second)):
                piece = block if planes_whole else block[plane] if rows_whole else block[plane, row]
                at = (channel * length + slow.start + plane) * num_rows + second.start + row
                position = self.offset + (at * num_columns + third.start) * self.dtype.itemsize
                yield piece.reshape(-1).view(np.uint8).data, position


@contextmanager
def open_to_fill(raw: RawFile, where: Path) -> Iterator[int]:
    """Open a raw file for reading and writing, and remove it where an exception comes out.

    Args:
        raw: The file; made if it is missing.
        where: What to name in the message of a full disk.

    Yields:
        Its descriptor.

    Raises:
        OutputError: The disk is full.
    """
    file = os.open(raw.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield file
    except BaseException as error:
        raw.path.unlink(missing_ok=True)
        if isinstance(error, OSError) and is_full(error):
            raise unwritable(where, error, raw.num_bytes) from error
        raise
    finally:
        os.close(file)


def check_planes(where: Path, shape: Shape3, axis: int, start: int, stop: int) -> None:
    """Refuse a slab that is empty or reaches out of the volume.

    Raises:
        ShapeError: It does.
    """
    if not (axis in (0, 1, 2) and 0 <= start < stop <= shape[axis]):
        raise ShapeError(
            where,
            f"planes [{start}, {stop}) along axis {axis} of a volume of {shape}",
            "A slab has at least one plane, and every plane lies in the volume.",
            "Ask for planes of axis 0, 1 or 2 (D, H, W) between 0 and its length.",
        )


def _length(part: slice) -> int:
    return int(part.stop) - int(part.start)


def _read(file: int, target: memoryview, position: int) -> None:
    done = 0
    while done < len(target):
        count = os.preadv(file, [target[done:]], position + done)
        if count == 0:
            raise EOFError
        done += count


def _write(file: int, source: memoryview, position: int) -> None:
    done = 0
    while done < len(source):
        done += os.pwrite(file, source[done:], position + done)
