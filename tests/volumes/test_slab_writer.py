from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.errors import OutputError, ShapeError, VolumeError
from volunet.volumes import Grid, Volume, raw, read_volume, write_volume
from volunet.volumes.slab_writer import open_slab_writer
from volunet.volumes.slabs import open_slabs

AXES = pytest.mark.parametrize("axis", [0, 1, 2])
ENDINGS = pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".zarr"])


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def upright(scan: Volume) -> Volume:
    """The scan on a grid in LPS that every format can say."""
    affine = np.diag([-0.75, -0.5, 3.0, 1.0])
    affine[:3, 3] = (91.25, -40.5, 1013.125)
    return Volume(scan.array, affine)


def slab(array: np.ndarray, axis: int, start: int, stop: int) -> np.ndarray:
    return np.take(array, range(start, stop), axis + 1)


def write_slabs(volume: Volume, path: Path, axis: int, scratch: Path, step: int = 4) -> Path:
    """Write slabs from the last to the first."""
    length = volume.shape[axis]
    with open_slab_writer(path, volume.grid, volume.array.dtype, axis, scratch) as writer:
        for start in reversed(range(0, length, step)):
            writer.write(start, slab(volume.array, axis, start, min(start + step, length)))
            assert not path.exists()
    return path


def left_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.rglob("*"))


@AXES
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_bytes_are_those_of_write_volume(
    tmp_path: Path,
    scratch: Path,
    scan: Volume,
    monkeypatch: pytest.MonkeyPatch,
    axis: int,
    ending: str,
    dtype: str,
    channels: int,
) -> None:
    monkeypatch.setattr(raw, "BLOCK_BYTES", 300)
    array = np.concatenate([scan.array, scan.array[:, ::-1]][:channels]).astype(dtype)
    volume = scan.with_array(array)
    path = write_slabs(volume, tmp_path / "new" / f"a{ending}", axis, scratch)
    expected = write_volume(volume, tmp_path / f"b{ending}").read_bytes()
    content = path.read_bytes()
    if ending == ".nii.gz":
        content, expected = gzip.decompress(content), gzip.decompress(expected)
    assert content == expected
    np.testing.assert_array_equal(read_volume(path, allow_channels=True).array, array)
    assert left_in(scratch) == []
    assert left_in(path.parent) == [path.name]


def test_the_header_is_the_one_that_nibabel_makes_of_an_image(
    tmp_path: Path, scratch: Path, scan: Volume
) -> None:
    image = nibabel.Nifti1Image(scan.array[0].transpose(2, 1, 0), scan.affine)
    image.set_sform(scan.affine, code=1)
    image.set_qform(scan.affine, code=1)
    image.header.set_xyzt_units("mm")
    image.to_filename(tmp_path / "b.nii")
    path = write_slabs(scan, tmp_path / "a.nii", 0, scratch)
    assert path.read_bytes() == (tmp_path / "b.nii").read_bytes()


@AXES
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("shape", [(9, 10, 11), (70, 65, 129)], ids=["one chunk", "many"])
def test_ome_zarr_is_read_again(
    tmp_path: Path,
    scratch: Path,
    upright: Volume,
    axis: int,
    channels: int,
    shape: tuple[int, int, int],
) -> None:
    array = np.random.default_rng(5).integers(-999, 999, (channels, *shape)).astype(np.int16)
    volume = Volume(array, upright.affine)
    path = write_slabs(volume, tmp_path / "a.zarr", axis, scratch, step=20)
    slabs = open_slabs(path, scratch, axis, allow_channels=True)
    np.testing.assert_array_equal(slabs.read(axis, 0, shape[axis]), array)
    np.testing.assert_array_equal(slabs.grid.affine, upright.affine)
    assert slabs.dtype == np.int16
    assert left_in(scratch) == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.zarr", "scratch"]


@given(data=st.data(), axis=st.sampled_from([0, 1, 2]))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_any_slabs_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, axis: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    array = np.random.default_rng(6).normal(size=(1, *shape)).astype(np.float32)
    inner = data.draw(st.sets(st.integers(1, max(shape[axis] - 1, 1))))
    cuts = sorted({0, shape[axis]} | {cut for cut in inner if cut < shape[axis]})
    parts = data.draw(st.permutations(list(pairwise(cuts))))
    path = folder / data.draw(st.sampled_from(["a.nii", "a.nii.gz"]))
    with open_slab_writer(path, Grid(shape, np.eye(4)), np.float32, axis, folder) as writer:
        for start, stop in parts:
            writer.write(start, slab(array, axis, start, stop))
    np.testing.assert_array_equal(read_volume(path).array, array)


@AXES
@ENDINGS
def test_a_missing_plane_is_refused(
    tmp_path: Path, scratch: Path, upright: Volume, axis: int, ending: str
) -> None:
    def leave_out() -> None:
        with open_slab_writer(
            tmp_path / f"a{ending}", upright.grid, np.int16, axis, scratch
        ) as writer:
            writer.write(0, slab(upright.array, axis, 0, 3))
            writer.write(5, slab(upright.array, axis, 5, upright.shape[axis]))

    with pytest.raises(
        OutputError, match=rf"2 of {9 + axis} planes along axis {axis} were never .* first is 3"
    ):
        leave_out()
    assert left_in(tmp_path) == ["scratch"]


@AXES
@ENDINGS
@pytest.mark.parametrize("error", [KeyError("a"), KeyboardInterrupt()], ids=repr)
def test_an_exception_leaves_nothing(
    tmp_path: Path, scratch: Path, upright: Volume, axis: int, ending: str, error: BaseException
) -> None:
    def fail() -> None:
        with open_slab_writer(
            tmp_path / f"a{ending}", upright.grid, np.int16, axis, scratch
        ) as writer:
            writer.write(0, slab(upright.array, axis, 0, 3))
            raise error

    with pytest.raises(type(error)):
        fail()
    assert left_in(tmp_path) == ["scratch"]


@ENDINGS
def test_blocks_that_do_not_fit(
    tmp_path: Path, scratch: Path, upright: Volume, ending: str
) -> None:
    path = tmp_path / f"a{ending}"
    with open_slab_writer(path, upright.grid, np.int16, 1, scratch) as writer:
        for block in (
            upright.array[:, :8],
            upright.array[0],
            upright.array.astype(np.int32),
            np.concatenate([upright.array] * 2),
        ):
            with pytest.raises(ShapeError, match=r"Planes along axis 1 of \(1, 9, 10, 11\) voxels"):
                writer.write(0, block)
        for start, stop in ((1, 10), (-1, 10)):
            with pytest.raises(ShapeError, match=rf"planes \[{start}, "):
                writer.write(start, upright.array if start > 0 else upright.array[:, :, :stop])
        writer.write(0, upright.array)
    np.testing.assert_array_equal(open_slabs(path, scratch, 1).read(1, 0, 10), upright.array)


@ENDINGS
def test_what_exists_is_kept(tmp_path: Path, scratch: Path, upright: Volume, ending: str) -> None:
    path = write_slabs(upright, tmp_path / f"a{ending}", 0, scratch)
    with (
        pytest.raises(OutputError, match=rf"a{ending}: the file exists"),
        open_slab_writer(path, upright.grid, np.int16, 0, scratch),
    ):
        pass
    np.testing.assert_array_equal(open_slabs(path, scratch, 0).read(0, 0, 9), upright.array)


@pytest.mark.parametrize("name", ["a.nrrd", "a.png", "a"])
def test_unknown_endings(tmp_path: Path, upright: Volume, name: str) -> None:
    with (
        pytest.raises(OutputError, match=r"(?s)is not known.*\.nii\.gz, \.nii, \.zarr"),
        open_slab_writer(tmp_path / name, upright.grid, np.int16, 0, tmp_path),
    ):
        pass


@ENDINGS
@pytest.mark.parametrize("dtype", ["?", "f2", "i8", "c8"])
def test_types_that_would_change(tmp_path: Path, upright: Volume, ending: str, dtype: str) -> None:
    with (
        pytest.raises(VolumeError, match=r"planes of|an array of complex64"),
        open_slab_writer(tmp_path / f"a{ending}", upright.grid, np.dtype(dtype), 0, tmp_path),
    ):
        pass
    assert left_in(tmp_path) == []


def test_grids_that_a_format_cannot_say(tmp_path: Path, scan: Volume) -> None:
    long = Grid((1, 1, 32768), np.eye(4))
    for name, grid, found in (
        ("a.zarr", scan.grid, "are not x, y, z"),
        ("a.nii", long, "at most 32767"),
        ("a.nii.gz", long, "at most 32767"),
    ):
        with (
            pytest.raises(VolumeError, match=found),
            open_slab_writer(tmp_path / name, grid, np.int16, 0, tmp_path),
        ):
            pass
    assert left_in(tmp_path) == []


@AXES
@ENDINGS
@pytest.mark.parametrize("room", [300, 1500], ids=["slabs", "packing"])
def test_a_disk_that_fills_up_leaves_nothing(
    tmp_path: Path,
    scratch: Path,
    upright: Volume,
    files_of_at_most: Callable[[int], AbstractContextManager[None]],
    axis: int,
    ending: str,
    room: int,
) -> None:
    with (
        pytest.raises(OutputError, match=r"(?s)cannot be written.*Up to 1,980 bytes must fit"),
        files_of_at_most(room),
    ):
        write_slabs(upright, tmp_path / f"a{ending}", axis, scratch)
    assert left_in(tmp_path) == ["scratch"]


@ENDINGS
def test_a_disk_that_fills_up_at_the_end(
    tmp_path: Path,
    scratch: Path,
    upright: Volume,
    files_of_at_most: Callable[[int], AbstractContextManager[None]],
    ending: str,
) -> None:
    """The scratch file is complete, and the final one has no room."""

    def write() -> None:
        with open_slab_writer(
            tmp_path / f"a{ending}", upright.grid, np.int16, 1, scratch
        ) as writer:
            writer.write(0, upright.array)
            limit = files_of_at_most(200)
            stack.append(limit)
            limit.__enter__()

    stack: list[AbstractContextManager[None]] = []
    try:
        with pytest.raises(OutputError) as error:
            write()
    finally:
        stack[0].__exit__(None, None, None)
    assert str(error.value).startswith(f"{tmp_path / 'a'}{ending}: cannot be written: file too lar")
    assert "Up to 1,980 bytes must fit there" in str(error.value)
    assert left_in(tmp_path) == ["scratch"]


@pytest.mark.parametrize(
    ("ending", "axis", "needed"), [(".nii", 0, 1980), (".nii", 1, 3960), (".nii.gz", 0, 1980)]
)
def test_room_is_checked_before(
    tmp_path: Path,
    scratch: Path,
    upright: Volume,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    axis: int,
    needed: int,
) -> None:
    usage = type("Usage", (), {"free": needed - 1})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OutputError, match=rf"{needed - 1:,} bytes free\.\n{needed:,} bytes must"):
        write_slabs(upright, tmp_path / f"a{ending}", axis, scratch)
    assert left_in(tmp_path) == ["scratch"]
    usage.free = needed
    write_slabs(upright, tmp_path / f"a{ending}", axis, scratch)


def test_two_disks_are_checked_each(
    tmp_path: Path, scratch: Path, upright: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_stat = Path.stat

    def stat(path: Path, **keys: bool) -> os.stat_result:
        found = true_stat(path, **keys)
        return os.stat_result((*found[:2], 12345, *found[3:])) if path == scratch else found

    free = {scratch: 1980, tmp_path: 1980}
    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: type("Usage", (), {"free": free[folder]})
    )
    write_slabs(upright, tmp_path / "a.nii", 1, scratch)
    for folder in (scratch, tmp_path):
        free[folder] = 1979
        with pytest.raises(OutputError, match=f"{folder}: the disk has 1,979 bytes free"):
            write_slabs(upright, tmp_path / "b.nii", 1, scratch)
        free[folder] = 1980


@AXES
def test_public_labels(data_folder: Path, tmp_path: Path, scratch: Path, axis: int) -> None:
    path = data_folder / "volumes" / "ct_slab_3mm_labels.nii.gz"
    volume = read_volume(path)
    slabs = open_slabs(path, scratch, axis)
    with open_slab_writer(
        tmp_path / "again.nii.gz", slabs.grid, slabs.dtype, axis, scratch
    ) as writer:
        for plane in range(slabs.grid.shape[axis]):
            writer.write(plane, slabs.read(axis, plane, plane + 1))
    again = read_volume(tmp_path / "again.nii.gz")
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_array_equal(again.affine, volume.affine)
