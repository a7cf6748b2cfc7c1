from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.errors import OutputError, ShapeError, VolumeError
from volunet.volumes import Volume, raw, read_volume, write_volume
from volunet.volumes.axes import to_nifti_order
from volunet.volumes.slabs import SlabReader, open_slabs

AXES = pytest.mark.parametrize("axis", [0, 1, 2])


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few planes, or of a few rows of one, so that tiny scans have many."""
    monkeypatch.setattr(raw, "BLOCK_BYTES", 500)


def whole(slabs: SlabReader, axis: int, step: int) -> np.ndarray:
    length = slabs.grid.shape[axis]
    parts = [slabs.read(axis, a, min(a + step, length)) for a in range(0, length, step)]
    assert all(part.flags.c_contiguous for part in parts)
    return np.concatenate(parts, axis=axis + 1)


def check_same(slabs: SlabReader, volume: Volume, axis: int, step: int = 4) -> None:
    values = whole(slabs, axis, step)
    assert values.dtype == slabs.dtype == volume.array.dtype
    assert values.tobytes() == np.ascontiguousarray(volume.array).tobytes()
    assert (slabs.grid.shape, slabs.grid.num_channels) == (volume.shape, volume.num_channels)
    np.testing.assert_array_equal(slabs.grid.affine, volume.affine)


@AXES
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("step", [1, 4, 100])
@pytest.mark.usefixtures("small_blocks")
def test_slabs_are_what_read_volume_gives(
    tmp_path: Path, scratch: Path, scan: Volume, ending: str, axis: int, step: int
) -> None:
    both = scan.with_array(np.concatenate([scan.array, scan.array[:, ::-1]]))
    path = write_volume(both, tmp_path / f"scan{ending}")
    slabs = open_slabs(path, scratch, axis, allow_channels=True)
    assert slabs.path == path
    for other in range(3):  # any axis, be it slow
        check_same(slabs, read_volume(path, allow_channels=True), other, step)


@AXES
@pytest.mark.parametrize("dtype", ["u1", ">i2", "i4", ">f4", "f8"])
@pytest.mark.parametrize("scaling", [(1.0, 0.0), (0.3, -1024.7)], ids=["plain", "scaled"])
@pytest.mark.parametrize("packed", [False, True], ids=["nii", "nii.gz"])
@pytest.mark.usefixtures("small_blocks")
def test_types_byte_orders_and_scaling(
    tmp_path: Path,
    scratch: Path,
    scan: Volume,
    axis: int,
    dtype: str,
    scaling: tuple[float, float],
    packed: bool,
) -> None:
    array = to_nifti_order(scan.array.astype(dtype))
    header = nibabel.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(dtype)
    header.set_data_shape(array.shape)
    header.set_sform(scan.affine, code=1)
    header.set_slope_inter(*scaling)
    header.set_data_offset(368)  # an extension's worth of bytes lies between
    content = header.binaryblock + bytes(20) + array.tobytes(order="F")
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(content) if packed else content)
    slabs = open_slabs(path, scratch, axis)
    expected = read_volume(path)
    if scaling[0] != 1.0:
        assert expected.array.dtype == (np.float64 if dtype in ("i4", "f8") else np.float32)
    check_same(slabs, expected, axis)


@given(data=st.data(), axis=st.sampled_from([0, 1, 2]))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_any_planes_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, axis: int
) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    array = np.random.default_rng(2).normal(size=(1, *shape)).astype(np.float32)
    folder = tmp_path_factory.mktemp("any")
    ending = data.draw(st.sampled_from([".nii", ".nii.gz"]))
    path = write_volume(Volume(array, np.eye(4)), folder / f"a{ending}")
    slabs = open_slabs(path, folder, axis)
    for _ in range(5):
        other = data.draw(st.sampled_from([0, 1, 2]))
        start = data.draw(st.integers(0, shape[other] - 1))
        stop = data.draw(st.integers(start + 1, shape[other]))
        expected = np.take(array, range(start, stop), axis=other + 1)
        np.testing.assert_array_equal(slabs.read(other, start, stop), expected)


@AXES
def test_scratch_is_used_only_where_it_must(
    tmp_path: Path, scratch: Path, scan: Volume, axis: int
) -> None:
    told: list[tuple[int, int]] = []
    plain, packed = (write_volume(scan, tmp_path / f"a{end}") for end in (".nii", ".nii.gz"))
    open_slabs(plain, scratch, axis, progress=lambda *numbers: told.append(numbers))
    assert [file.stat().st_size for file in scratch.iterdir()] == [scan.array.nbytes] * (axis > 0)
    assert told == [(1980, 1980)] * (axis > 0)
    open_slabs(packed, scratch, axis)
    assert len(list(scratch.iterdir())) == 1 + (axis > 0)


def test_planes_beyond_the_volume(tmp_path: Path, scratch: Path, scan: Volume) -> None:
    slabs = open_slabs(write_volume(scan, tmp_path / "a.nii"), scratch, 0)
    with pytest.raises(ShapeError, match=r"planes \[5, 10\) along axis 0 of a volume of \(9, 10"):
        slabs.read(0, 5, 10)


@AXES
@pytest.mark.parametrize("damage", ["cut", "middle", "checksum", "cut checksum"])
def test_damaged_gzip_is_told_as_read_volume_tells_it(
    tmp_path: Path, scratch: Path, scan: Volume, axis: int, damage: str
) -> None:
    path = write_volume(scan, tmp_path / "a.nii.gz")
    content = bytearray(path.read_bytes())
    if damage == "middle":
        content[len(content) // 2 :: 7] = bytes(len(content[len(content) // 2 :: 7]))
    elif damage == "checksum":
        content[-8] ^= 255
    path.write_bytes(content[: {"cut": len(content) // 2, "cut checksum": -4}.get(damage)])
    with pytest.raises(VolumeError, match=r"a\.nii\.gz: the gzip stream (ends|is)") as expected:
        read_volume(path)
    with pytest.raises(VolumeError) as error:
        open_slabs(path, scratch, axis)
    assert str(error.value) == str(expected.value)
    assert list(scratch.iterdir()) == []


@AXES
@pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
def test_a_cut_file_is_told_as_read_volume_tells_it(
    tmp_path: Path, scratch: Path, scan: Volume, axis: int, share: float
) -> None:
    path = write_volume(scan, tmp_path / "a.nii")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(VolumeError, match="the file ends early: ") as expected:
        read_volume(path)
    with pytest.raises(VolumeError) as error:
        open_slabs(path, scratch, axis)
    assert str(error.value) == str(expected.value)
    assert list(scratch.iterdir()) == []


def test_a_file_that_is_cut_while_it_is_read(tmp_path: Path, scratch: Path, scan: Volume) -> None:
    path = write_volume(scan, tmp_path / "a.nii")
    slabs = open_slabs(path, scratch, 0)
    path.write_bytes(path.read_bytes()[:-100])
    np.testing.assert_array_equal(slabs.read(0, 0, 4), scan.array[:, :4])
    with pytest.raises(VolumeError, match=r"a\.nii: it became shorter while it was read"):
        slabs.read(0, 4, 9)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.png", b"x", "ending '.png' is not known"),
        ("a.nii", b"", "the file is empty"),
        ("a.nii.gz", b"<html>" * 80, "no NIfTI header"),
        ("a.nrrd", b"<html>" * 80, r"a\.nrrd: "),
        ("missing.nii", None, "no such file"),
        ("missing.zarr", None, "no such file"),
    ],
)
def test_what_is_no_scan(
    tmp_path: Path, scratch: Path, name: str, content: bytes | None, found: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match=found):
        open_slabs(tmp_path / name, scratch, 0)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd"])
def test_channels_only_where_allowed(
    tmp_path: Path, scratch: Path, scan: Volume, ending: str
) -> None:
    both = scan.with_array(np.concatenate([scan.array] * 2))
    path = write_volume(both, tmp_path / f"a{ending}")
    with pytest.raises(VolumeError, match="allow_channels=True"):
        open_slabs(path, scratch, 0)


def test_a_scaling_that_is_no_number(tmp_path: Path, scratch: Path, scan: Volume) -> None:
    path = write_volume(scan, tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    content[116:120] = np.float32(np.nan).tobytes()  # scl_inter
    path.write_bytes(content)
    for read in (read_volume, lambda path: open_slabs(path, scratch, 0)):
        with pytest.raises(VolumeError, match="a scaling of its values that is no number"):
            read(path)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha"])
def test_no_room_in_the_scratch_folder(
    tmp_path: Path,
    scratch: Path,
    files_of_at_most: Callable[[int], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
    scan: Volume,
    ending: str,
) -> None:
    path = write_volume(scan, tmp_path / f"a{ending}")
    with (
        pytest.raises(OutputError, match=r"(?s)scratch: cannot be written.*1,980 bytes must fit"),
        files_of_at_most(1000),
    ):
        open_slabs(path, scratch, 1)
    assert list(scratch.iterdir()) == []
    usage = type("Usage", (), {"free": 1979})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(OutputError, match=r"1,979 bytes free\.\n1,980 bytes must fit"):
        open_slabs(path, scratch, 1)
    usage.free = 1980
    check_same(open_slabs(path, scratch, 1), read_volume(path), 1)


@AXES
@pytest.mark.parametrize("name", ["ct_slab_3mm.nii.gz", "mr_t1_head.nii.gz"])
def test_public_scans(data_folder: Path, scratch: Path, axis: int, name: str) -> None:
    path = data_folder / "volumes" / name
    slabs = open_slabs(path, scratch, axis)
    check_same(slabs, read_volume(path), axis, step=37)


MEASURE = """
import sys
from pathlib import Path
import numpy as np
import volunet.volumes.ome_zarr  # its import is no slab
from volunet.volumes.slabs import open_slabs
from volunet.volumes.slab_writer import open_slab_writer

path, scratch, axis, out = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

def peak_bytes():  # not ru_maxrss, which begins with the peak of the process that started this one
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

before = peak_bytes()
slabs = open_slabs(path, scratch, axis)
total = 0
with open_slab_writer(out, slabs.grid, slabs.dtype, axis, scratch) as writer:
    for start in range(0, slabs.grid.shape[axis], 8):
        block = slabs.read(axis, start, min(start + 8, slabs.grid.shape[axis]))
        total += int(block.sum(dtype=np.int64))
        writer.write(start, block)
print(total, peak_bytes() - before)
"""


@pytest.mark.parametrize(
    ("axis", "ending"), [(0, ".nii"), (1, ".nii"), (2, ".nii.gz"), (2, ".zarr")]
)
def test_memory_does_not_grow_with_the_volume(
    tmp_path: Path, scratch: Path, axis: int, ending: str
) -> None:
    """A volume of 112 MB through slabs of at most 5 MB, in and out: 64 MB at most beside them."""
    array = np.zeros((280, 400, 500), np.int16)
    array[...] = np.arange(280)[:, None, None] + np.arange(500)
    path = write_volume(Volume(array, np.eye(4)), tmp_path / "a.nii")
    arguments = [str(path), str(scratch), str(axis), str(tmp_path / f"out{ending}")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], check=True, capture_output=True, text=True
    )
    total, grown_bytes = map(int, done.stdout.split())
    assert total == int(array.sum(dtype=np.int64))
    assert grown_bytes < 64e6 + 2 * 5e6
