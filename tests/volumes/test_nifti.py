from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from volunet.errors import VolumeError
from volunet.volumes import Volume, read_grid, read_volume, write_volume
from volunet.volumes.axes import to_nifti_order


def save(path: Path, array: np.ndarray, affine: np.ndarray, dtype: str | None = None) -> Path:
    image = nibabel.Nifti1Image(array, affine)
    if dtype is not None:
        image.set_data_dtype(dtype)
    image.to_filename(path)
    return path


@pytest.fixture
def packed(tmp_path: Path, scan: Volume) -> Path:
    return write_volume(scan, tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".NII.GZ"])
@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "i4", "f4", "f8"])
def test_voxels_type_and_place_are_those_of_the_file(
    tmp_path: Path, scan: Volume, ending: str, dtype: str
) -> None:
    array = to_nifti_order(scan.array.astype(dtype))
    path = tmp_path / f"scan{ending.lower()}"
    save(path, array, scan.affine, dtype)
    path = path.rename(tmp_path / f"scan{ending}")
    volume = read_volume(path)
    assert volume.array.dtype == np.dtype(dtype).newbyteorder("=")
    assert volume.array.flags.writeable
    np.testing.assert_array_equal(to_nifti_order(volume.array), array)
    np.testing.assert_allclose(volume.affine, scan.affine, rtol=1e-6)  # float32 in the header
    assert volume.orientation == "LPS"
    assert volume.source == path


def test_nifti_2_and_big_endian(tmp_path: Path, scan: Volume) -> None:
    array = to_nifti_order(scan.array)
    second = nibabel.Nifti2Image(array, scan.affine)
    second.to_filename(tmp_path / "second.nii")
    big = nibabel.Nifti1Image(array, scan.affine, nibabel.Nifti1Header(endianness=">"))
    big.to_filename(tmp_path / "big.nii")
    for name in ("second.nii", "big.nii"):
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, scan.array)


def test_scaling_is_applied(tmp_path: Path, scan: Volume) -> None:
    image = nibabel.Nifti1Image(to_nifti_order(scan.array), scan.affine)
    image.header.set_slope_inter(0.5, -1024.0)
    raw = image.header.binaryblock + bytes(4) + to_nifti_order(scan.array).tobytes(order="F")
    raw = bytearray(raw)
    raw[108:112] = np.float32(352).tobytes()  # vox_offset
    raw[344:348] = b"n+1\x00"
    (tmp_path / "scaled.nii").write_bytes(raw)
    volume = read_volume(tmp_path / "scaled.nii")
    assert volume.array.dtype == np.float32
    # halves up to 2^11 are exact in float32
    np.testing.assert_array_equal(volume.array, scan.array * 0.5 - 1024.0)


def test_axes_of_length_one_are_left_out(tmp_path: Path, oblique_affine: np.ndarray) -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4, 1)
    volume = read_volume(save(tmp_path / "a.nii", array, oblique_affine))
    assert volume.array.shape == (1, 4, 3, 2)
    flat = read_volume(save(tmp_path / "b.nii", array[:, :, 0, 0], oblique_affine))
    assert flat.shape == (1, 3, 2)


@pytest.mark.parametrize("middle", [(), (1,)], ids=["4d", "5d"])
def test_a_fourth_axis_only_where_allowed(
    tmp_path: Path, oblique_affine: np.ndarray, middle: tuple[int, ...]
) -> None:
    array = np.arange(120, dtype=np.int16).reshape(2, 3, 4, *middle, 5)
    path = save(tmp_path / "series.nii.gz", array, oblique_affine)
    with pytest.raises(
        VolumeError, match=r"(?s)4 axes \(x, y, z, n\): 2 × 3 × 4 × .*four_to_three"
    ):
        read_volume(path)
    volume = read_volume(path, allow_channels=True)
    assert volume.array.shape == (5, 4, 3, 2)
    assert volume.array[4, 3, 2, 1] == array.reshape(2, 3, 4, 5)[1, 2, 3, 4]
    assert read_grid(path).num_channels == 5


def test_five_axes_are_never_taken(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", np.zeros((2, 2, 2, 3, 3), np.uint8), np.eye(4))
    with pytest.raises(VolumeError, match=r"5 axes \(x, y, z and more\)"):
        read_volume(path, allow_channels=True)


@pytest.mark.parametrize(
    ("dtype", "found"),
    [
        (np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]), "colours"),
        (np.dtype(np.complex64), "complex64 numbers"),
    ],
    ids=["rgb", "complex"],
)
def test_colours_and_complex_numbers_are_refused(
    tmp_path: Path, dtype: np.dtype, found: str
) -> None:
    path = save(tmp_path / "a.nii", np.zeros((2, 3, 4), dtype), np.eye(4))
    with pytest.raises(VolumeError, match=f"its voxels are {found}"):
        read_volume(path)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9, 0.999])
def test_cut_files_are_refused_with_what_is_there(
    tmp_path: Path, packed: Path, scan: Volume, share: float
) -> None:
    plain = write_volume(scan, tmp_path / "scan.nii")
    for path, fault in ((packed, "the gzip stream ends early"), (plain, "the file ends early")):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(VolumeError, match=f"{path.name}: (a damaged NIfTI header|{fault})"):
            read_volume(path)
    voxels = scan.array.nbytes
    held = int((voxels + 352) * share) - 352
    with pytest.raises(VolumeError, match=f"early: {100 * held / voxels:.3g} % of the voxels"):
        read_volume(plain)


def test_a_stream_cut_in_its_checksum_is_refused(packed: Path) -> None:
    packed.write_bytes(packed.read_bytes()[:-4])
    with pytest.raises(VolumeError, match="the gzip stream ends early") as error:
        read_volume(packed)
    assert "%" not in str(error.value)  # the voxels are all there


def test_no_flipped_bit_passes(packed: Path) -> None:
    rng = np.random.default_rng(3)
    whole = packed.read_bytes()
    begin = 20  # the gzip header's own fields (time, system) carry no voxels
    for position in rng.integers(begin, len(whole), 40):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        packed.write_bytes(damaged)
        with pytest.raises(VolumeError, match=r"scan\.nii\.gz: "):
            read_volume(packed)


def test_a_false_checksum_is_refused(packed: Path) -> None:
    whole = bytearray(packed.read_bytes())
    whole[-8] ^= 255
    packed.write_bytes(whole)
    with pytest.raises(VolumeError, match=r"gzip stream is damaged .*CRC check failed"):
        read_volume(packed)


def test_a_plain_file_named_gz_and_the_reverse(tmp_path: Path, packed: Path, scan: Volume) -> None:
    named_nii = tmp_path / "packed.nii"
    named_nii.write_bytes(packed.read_bytes())
    packed.write_bytes(gzip.decompress(packed.read_bytes()))
    for path in (packed, named_nii):
        np.testing.assert_array_equal(read_volume(path).array, scan.array)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<html>404</html>" * 40, "no NIfTI header: it begins with the bytes 3c 68 74 6d"),
        (b"\x5c\x01\x00\x00", "a damaged NIfTI header"),
        (gzip.compress(b""), r"no NIfTI header: it begins with the bytes \(none\)"),
    ],
    ids=["html", "four_bytes", "nothing_packed"],
)
def test_what_is_no_nifti_is_refused(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(content)
    for read in (read_volume, read_grid):
        with pytest.raises(VolumeError, match=found):
            read(path)


def test_a_header_that_promises_terabytes_takes_no_memory(tmp_path: Path, scan: Volume) -> None:
    path = write_volume(scan, tmp_path / "scan.nii")
    whole = bytearray(path.read_bytes())
    whole[42:48] = np.array([30_000] * 3, "<i2").tobytes()
    path.write_bytes(whole)
    with pytest.raises(VolumeError, match="promises 54,000,000,000,000 bytes"):
        read_volume(path)


def test_a_pair_header_and_a_zero_size_are_refused(tmp_path: Path, scan: Volume) -> None:
    path = write_volume(scan, tmp_path / "scan.nii")
    whole = path.read_bytes()
    path.write_bytes(whole[:108] + bytes(4) + whole[112:344] + b"ni1\0" + whole[348:])
    with pytest.raises(VolumeError, match=r"\.hdr and .img pair"):
        read_volume(path)
    path.write_bytes(whole[:42] + bytes(2) + whole[44:])
    with pytest.raises(VolumeError, match="size 0 × 10 × 9 in the header"):
        read_volume(path)


@pytest.mark.parametrize(
    ("offset", "value", "found"),
    [
        (280, np.nan, "NaN or infinite"),
        (292, np.inf, "NaN or infinite"),
        (None, 0.0, "spacing of 0 mm"),
    ],
    ids=["nan_rotation", "infinite_origin", "zero_rows"],
)
def test_a_false_sform_is_refused(
    tmp_path: Path, scan: Volume, offset: int | None, value: float, found: str
) -> None:
    path = write_volume(scan, tmp_path / "scan.nii")
    whole = bytearray(path.read_bytes())
    if offset is None:
        whole[280:328] = bytes(48)
    else:
        whole[offset : offset + 4] = np.float32(value).tobytes()
    path.write_bytes(whole)
    for read in (read_volume, read_grid):
        with pytest.raises(VolumeError, match=found):
            read(path)


def test_the_grid_needs_the_header_only(packed: Path, scan: Volume) -> None:
    whole = packed.read_bytes()
    packed.write_bytes(whole[: len(whole) * 9 // 10])
    grid = read_grid(packed)
    assert (grid.shape, grid.num_channels) == (scan.shape, 1)
    np.testing.assert_allclose(grid.affine, scan.affine, rtol=1e-6)  # float32 in the header


def test_written_header(packed: Path, scan: Volume) -> None:
    header = nibabel.load(packed).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    assert header.get_xyzt_units()[0] == "mm"
    assert header.get_slope_inter() == (1.0, 0.0) or header.get_slope_inter() == (None, None)
    np.testing.assert_allclose(header.get_qform(), scan.affine, atol=1e-4)  # float32 quaternion


def test_a_sheared_affine_is_kept(tmp_path: Path, scan: Volume) -> None:
    sheared = scan.affine.copy()
    sheared[0, 2] += 0.05
    path = write_volume(Volume(scan.array, sheared), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_volume(path).affine, sheared.astype(np.float32))


def test_an_axis_too_long_for_nifti(tmp_path: Path) -> None:
    volume = Volume.of_array(np.zeros((1, 1, 32768), np.uint8), (1.0, 1.0, 1.0))
    with pytest.raises(VolumeError, match="at most 32767"):
        write_volume(volume, tmp_path / "a.nii")
    assert list(tmp_path.iterdir()) == []
