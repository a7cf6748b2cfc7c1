from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.errors import OutputError, ShapeError
from volunet.volumes import raw as module
from volunet.volumes.raw import Box, RawFile, blocks, check_planes, open_to_fill

SHAPE = (5, 6, 7)


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, (2, *SHAPE)).astype(">u2")


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("block_bytes", [1, 10, 60, 90, 1 << 20])
def test_blocks_cover_every_voxel_once_in_file_order_and_within_bounds(
    monkeypatch: pytest.MonkeyPatch, axis: int, block_bytes: int
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    order = np.moveaxis(np.arange(5 * 6 * 7).reshape(SHAPE), axis, 0)
    index = np.moveaxis(order, 0, axis)
    found = list(blocks(SHAPE, axis, 1, 4, itemsize=2))
    numbers = [np.moveaxis(index[box], axis, 0).ravel() for box in found]
    np.testing.assert_array_equal(np.concatenate(numbers), order[1:4].ravel())
    row = SHAPE[1 if axis == 2 else 2]
    assert max(part.size for part in numbers) * 2 <= max(block_bytes, 2 * row)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_file_has_the_axis_slowest(tmp_path: Path, array: np.ndarray, axis: int) -> None:
    raw = RawFile(tmp_path / "a", SHAPE, 2, array.dtype, axis, offset=3)
    with open_to_fill(raw, raw.path) as file:
        for channel in (1, 0):
            for box in blocks(SHAPE, axis, 0, SHAPE[axis], 2):
                raw.write(file, channel, box, array[channel][box])
    content = raw.path.read_bytes()
    assert content[:3] == bytes(3)
    assert content[3:] == np.moveaxis(array, axis + 1, 1).tobytes()
    assert raw.num_bytes == len(content) - 3


def boxes() -> st.SearchStrategy[Box]:
    def part(length: int) -> st.SearchStrategy[slice]:
        ends = st.tuples(st.integers(0, length), st.integers(0, length))
        return ends.map(sorted).filter(lambda e: e[0] < e[1]).map(lambda e: slice(*e))

    return st.tuples(*(part(length) for length in SHAPE))


@given(box=boxes(), axis=st.sampled_from([0, 1, 2]), channel=st.sampled_from([0, 1]))
@settings(deadline=None, max_examples=150, derandomize=True)
def test_any_box_is_read_and_written(
    tmp_path_factory: pytest.TempPathFactory, box: Box, axis: int, channel: int
) -> None:
    array = np.random.default_rng(1).normal(size=(2, *SHAPE))
    path = tmp_path_factory.mktemp("raw") / "a"
    path.write_bytes(np.moveaxis(array, axis + 1, 1).tobytes())
    raw = RawFile(path, SHAPE, 2, array.dtype, axis)
    with open_to_fill(raw, path) as file:
        np.testing.assert_array_equal(raw.read(file, channel, box), array[channel][box])
        array[channel][box] *= -1
        raw.write(file, channel, box, array[channel][box])
    assert path.read_bytes() == np.moveaxis(array, axis + 1, 1).tobytes()


def test_a_file_that_is_too_short(tmp_path: Path, array: np.ndarray) -> None:
    raw = RawFile(tmp_path / "a", SHAPE, 2, array.dtype, 0)
    raw.path.write_bytes(array.tobytes()[:-1])
    whole = (slice(0, 5), slice(0, 6), slice(0, 7))
    with raw.path.open("rb") as file:
        np.testing.assert_array_equal(raw.read(file.fileno(), 0, whole), array[0])
        with pytest.raises(EOFError):
            raw.read(file.fileno(), 1, whole)


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), True), (KeyError("a"), False)],
    ids=["full", "other"],
)
def test_a_file_that_was_not_filled_goes(tmp_path: Path, error: Exception, told: bool) -> None:
    raw = RawFile(tmp_path / "a", SHAPE, 2, np.dtype(np.uint16), 0)

    def fail() -> None:
        with open_to_fill(raw, Path("scan.nii")):
            raise error

    with pytest.raises(OutputError if told else KeyError, match="no space" if told else "a") as e:
        fail()
    assert ("scan.nii: " in str(e.value) and "840 bytes must fit" in str(e.value)) == told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("axis", "start", "stop"),
    [(0, 2, 2), (0, 3, 2), (0, -1, 2), (0, 0, 6), (2, 0, 8), (3, 0, 1), (-1, 0, 1)],
)
def test_planes_that_are_not_there(axis: int, start: int, stop: int) -> None:
    check_planes(Path("a.nii"), SHAPE, 2, 0, 7)
    with pytest.raises(
        ShapeError, match=rf"a.nii: planes \[{start}, {stop}\) along axis {axis} of"
    ):
        check_planes(Path("a.nii"), SHAPE, axis, start, stop)
