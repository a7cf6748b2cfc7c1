"""Where slices are held between the calls of a streamed pass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Buffer(Protocol):
    """Slices of one tensor, channels last."""

    def copy_to(self, target: Array, axis: int, start: int, stop: int) -> None:
        """Copy slices [start, stop) to an array of as many, (1, …, C).

        Args:
            target: The array; it may be a part of a larger one.
            axis: The axis of that array along which the slices lie.
            start: First slice.
            stop: Behind the last slice.
        """
        ...


class Pool:
    """Memory for blocks of slices; what is given back is handed out again.

    The system's allocator would keep or return blocks by rules of its own: so the most that is ever
    held is what was planned.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[NDArray[np.uint8]]] = {}

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A block, with anything in it."""
        num_bytes = prod(shape) * dtype.itemsize
        free = self._free.get(num_bytes)
        memory = free.pop() if free else np.empty(num_bytes, np.uint8)
        return memory.view(dtype).reshape(shape)

    def give(self, block: Array) -> None:
        """Give a block back."""
        memory = block.reshape(-1).view(np.uint8)
        self._free.setdefault(memory.nbytes, []).append(memory)


class Ring:
    """Blocks in memory, from the first that is still read to the last that was made.

    Args:
        pool: Where blocks come from and go to.
        chunk: Slices of a block.
    """

    def __init__(self, pool: Pool, chunk: int) -> None:
        self._pool = pool
        self.chunk = chunk
        self.blocks: dict[int, Array] = {}
        self._kept = 0

    def put(self, index: int, block: Array) -> None:
        """Take over block `index`, slices [index · chunk, (index + 1) · chunk)."""
        if (index + 1) * self.chunk <= self._kept:
            self._pool.give(block)  # a run past the end makes what nobody reads
        else:
            self.blocks[index] = block

    def release(self, keep: int) -> None:
        """Let go of the blocks whose slices all lie before `keep`, also of those still to come."""
        self._kept = keep
        for index in [i for i in self.blocks if (i + 1) * self.chunk <= keep]:
            self._pool.give(self.blocks.pop(index))

    def copy_to(self, target: Array, axis: int, start: int, stop: int) -> None:
        """See `Buffer.copy_to`."""
        for index in range(start // self.chunk, -(-stop // self.chunk)):
            first = index * self.chunk
            low, high = max(start, first), min(stop, first + self.chunk)
            part = along(self.blocks[index], axis, low - first, high - first)
            along(target, axis, low - start, high - start)[...] = part


class Spill:
    """Blocks in a file; places of blocks that were let go are written again.

    Args:
        path: The file, which is made.
        pool: Memory for the block on its way.
        chunk: Slices of a block.
        shape: Shape of a block.
        dtype: Its type.
    """

    def __init__(
        self, path: Path, pool: Pool, chunk: int, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._file: BinaryIO = path.open("w+b", buffering=0)
        self._pool = pool
        self.chunk = chunk
        self._shape = shape
        self._dtype = dtype
        self._places: dict[int, int] = {}
        self._free: list[int] = []
        self._most = 0
        self._kept = 0

    def put(self, index: int, block: Array) -> None:
        """Write block `index` and give its memory back."""
        if (index + 1) * self.chunk <= self._kept:
            self._pool.give(block)
            return
        if self._free:
            place = self._free.pop()
        else:
            place, self._most = self._most, self._most + 1
        data = block.data.cast("B")
        done = 0
        while done < len(data):  # a single write takes 2 GiB at most
            done += os.pwrite(self._file.fileno(), data[done:], place * len(data) + done)
        self._places[index] = place
        self._pool.give(block)

    def release(self, keep: int) -> None:
        """Let go of the blocks whose slices all lie before `keep`, also of those still to come."""
        self._kept = keep
        for index in [i for i in self._places if (i + 1) * self.chunk <= keep]:
            self._free.append(self._places.pop(index))

    def copy_to(self, target: Array, axis: int, start: int, stop: int) -> None:
        """See `Buffer.copy_to`."""
        block = self._pool.take(self._shape, self._dtype)
        for index in range(start // self.chunk, -(-stop // self.chunk)):
            self._read(index, block)
            first = index * self.chunk
            low, high = max(start, first), min(stop, first + self.chunk)
            part = along(block, axis, low - first, high - first)
            along(target, axis, low - start, high - start)[...] = part
        self._pool.give(block)

    def _read(self, index: int, block: Array) -> None:
        data = block.data.cast("B")
        offset = self._places[index] * len(data)
        done = 0
        while done < len(data):
            count = os.preadv(self._file.fileno(), [data[done:]], offset + done)
            if count == 0:
                raise OSError(f"{self._file.name}: ends at byte {offset + done}")
            done += count

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Whole:
    """A tensor that was made at once, (1, C, …)."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def copy_to(self, target: Array, axis: int, start: int, stop: int) -> None:
        """See `Buffer.copy_to`."""
        target[...] = along(np.moveaxis(self.array, 1, -1), axis, start, stop)


class Slabs(Protocol):
    """What the input's slices are read from (`volunet.volumes.streamed`)."""

    def read(self, axis: int, start: int, stop: int) -> Array:
        """Planes [start, stop) along an axis of (D, H, W), as (C, …)."""
        ...


class Source:
    """The input, read anew whenever it is asked for.

    Args:
        slabs: The scan on the model's grid.
    """

    def __init__(self, slabs: Slabs) -> None:
        self._slabs = slabs

    def copy_to(self, target: Array, axis: int, start: int, stop: int) -> None:
        """See `Buffer.copy_to`."""
        target[0] = np.moveaxis(self._slabs.read(axis - 1, start, stop), 0, -1)


def along(array: Array, axis: int, start: int, stop: int) -> Array:
    """View of slices [start, stop) along an axis."""
    return array[(slice(None),) * axis + (slice(start, stop),)]


Buffers = Mapping[str, Buffer]
