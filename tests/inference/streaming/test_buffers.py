"""Blocks are used again, and slices come back as they went in, from memory and from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from volunet.inference.streaming.buffers import Pool, Ring, Source, Spill, Whole, along

FLOAT = np.dtype(np.float32)
SHAPE = (1, 3, 2, 2)
"""Three slices along the first spatial axis, channels last."""


def block(number: int) -> Any:
    return (100 * number + np.arange(12)).astype(np.float32).reshape(SHAPE)


def slices(start: int, stop: int) -> Any:
    return np.concatenate([block(i) for i in range(4)], axis=1)[:, start:stop]


def test_a_pool_hands_out_again_what_it_was_given() -> None:
    pool = Pool()
    first = pool.take((2, 3), FLOAT)
    second = pool.take((2, 3), FLOAT)
    assert not np.shares_memory(first, second)
    pool.give(first)
    again = pool.take((3, 1), np.dtype(np.int64))  # as many bytes
    assert np.shares_memory(first, again)
    assert (again.shape, again.dtype) == ((3, 1), np.int64)
    assert not np.shares_memory(pool.take((2, 3), FLOAT), first)  # it is out


def test_a_pool_does_not_take_a_view_for_a_block() -> None:
    pool = Pool()
    part = pool.take((2, 4), FLOAT)[:, :2]
    pool.give(part)
    assert not np.shares_memory(pool.take((2, 2), FLOAT), part)


def spill(path: Path, pool: Pool) -> Spill:
    return Spill(path, pool, 3, SHAPE, FLOAT)


@pytest.mark.parametrize("kind", ["ring", "spill"])
def test_slices_across_blocks(kind: str, tmp_path: Path) -> None:
    pool = Pool()
    buffer: Any = Ring(pool, 3) if kind == "ring" else spill(tmp_path / "s", pool)
    for number in range(4):
        buffer.put(number, block(number))
    for start, stop in ((0, 12), (2, 3), (2, 7), (5, 6), (9, 11)):
        target = np.full((1, 12, 2, 3), -1, np.float32)
        buffer.copy_to(along(target, 1, start, stop)[..., 1:], 1, start, stop)
        assert np.array_equal(target[:, start:stop, :, 1:], slices(start, stop))
        assert (target[..., 0] == -1).all()
        assert (target[:, :start] == -1).all()
        assert (target[:, stop:] == -1).all()
    buffer.release(8)
    with pytest.raises(KeyError):
        buffer.copy_to(np.empty((1, 1, 2, 2), np.float32), 1, 5, 6)
    target = np.empty((1, 3, 2, 2), np.float32)
    buffer.copy_to(target, 1, 6, 9)  # its last slice is still read
    assert np.array_equal(target, slices(6, 9))


def test_a_ring_gives_its_blocks_back() -> None:
    pool = Pool()
    ring = Ring(pool, 3)
    made = [pool.take(SHAPE, FLOAT) for _ in range(2)]
    for number, array in enumerate(made):
        ring.put(number, array)
    ring.release(5)
    assert list(ring.blocks) == [1]
    assert np.shares_memory(pool.take(SHAPE, FLOAT), made[0])


def test_a_spill_writes_freed_places_again(tmp_path: Path) -> None:
    pool = Pool()
    buffer = spill(tmp_path / "s", pool)
    size = block(0).nbytes
    for number in range(2):
        buffer.put(number, block(number))
    assert (tmp_path / "s").stat().st_size == 2 * size
    buffer.release(3)
    buffer.put(2, block(2))
    buffer.put(3, block(3))
    assert (tmp_path / "s").stat().st_size == 3 * size  # of four blocks
    target = np.empty((1, 9, 2, 2), np.float32)
    buffer.copy_to(target, 1, 3, 12)
    assert np.array_equal(target, slices(3, 12))
    buffer.close()


def test_a_spilled_blocks_memory_is_free(tmp_path: Path) -> None:
    pool = Pool()
    buffer = spill(tmp_path / "s", pool)
    array = pool.take(SHAPE, FLOAT)
    array[...] = block(0)
    buffer.put(0, array)
    assert np.shares_memory(pool.take(SHAPE, FLOAT), array)


def test_a_full_disk_is_an_error(tmp_path: Path, files_of_at_most: Any) -> None:
    buffer = spill(tmp_path / "s", Pool())
    buffer.put(0, block(0))
    with files_of_at_most(block(0).nbytes + 8), pytest.raises(OSError, match="File too large"):
        buffer.put(1, block(1))


def test_a_file_that_was_cut_off_is_an_error(tmp_path: Path) -> None:
    buffer = spill(tmp_path / "s", Pool())
    buffer.put(0, block(0))
    with (tmp_path / "s").open("r+b") as file:
        file.truncate(20)
    with pytest.raises(OSError, match=r"s: ends at byte 20$"):
        buffer.copy_to(np.empty(SHAPE, np.float32), 1, 0, 3)


def test_a_tensor_made_at_once_and_the_scan_are_read_channels_last() -> None:
    array = np.arange(2 * 4 * 3 * 5, dtype=np.float32).reshape(1, 2, 4, 3, 5)
    target = np.empty((1, 4, 2, 5, 2), np.float32)
    Whole(array).copy_to(target, 2, 1, 3)
    assert np.array_equal(target, np.moveaxis(array[:, :, :, 1:3], 1, -1))

    class Slabs:
        def read(self, axis: int, start: int, stop: int) -> Any:
            assert axis == 1
            return array[0, :, :, start:stop]

    again = np.empty_like(target)
    Source(Slabs()).copy_to(again, 2, 1, 3)
    assert np.array_equal(again, target)
