from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from volunet.errors import VolumeError
from volunet.volumes import (
    Volume,
    image_of_volume,
    read_grid,
    read_volume,
    volume_of_image,
    write_volume,
)


def save(path: Path, volume: Volume, compress: bool) -> Path:
    SimpleITK.WriteImage(image_of_volume(volume), str(path), compress)
    return path


def test_image_and_volume_place_a_voxel_at_the_same_point(scan: Volume) -> None:
    image = image_of_volume(scan)
    assert image.GetSize() == (11, 10, 9)
    x, y, z = image.TransformIndexToPhysicalPoint((3, 2, 1))
    # one rounding of a division and a multiplication in float64
    np.testing.assert_allclose((-x, -y, z), (scan.affine @ [3, 2, 1, 1])[:3], rtol=1e-13)
    assert image[3, 2, 1] == scan.array[0, 1, 2, 3]


@pytest.mark.parametrize("channels", [1, 3])
def test_image_and_back(oblique_affine: np.ndarray, channels: int) -> None:
    noise = np.random.default_rng(2).normal(size=(channels, 4, 5, 6)).astype(np.float32)
    volume = volume_of_image(image_of_volume(Volume(noise, oblique_affine)))
    np.testing.assert_array_equal(volume.array, noise)
    assert volume.array.flags.writeable
    np.testing.assert_allclose(volume.affine, oblique_affine, rtol=1e-13)


def test_bool_becomes_uint8_and_complex_is_refused() -> None:
    mask = Volume.of_array(np.ones((2, 2, 2), bool), (1.0, 1.0, 1.0))
    assert image_of_volume(mask).GetPixelID() == SimpleITK.sitkUInt8
    with pytest.raises(VolumeError, match="complex64"):
        image_of_volume(mask.with_array(np.ones((2, 2, 2), np.complex64)))
    with pytest.raises(VolumeError, match="complex of 32-bit float"):
        volume_of_image(SimpleITK.Image(2, 2, 2, SimpleITK.sitkComplexFloat32))


def test_two_and_four_axes() -> None:
    flat = SimpleITK.Image(6, 5, SimpleITK.sitkInt16)
    flat.SetSpacing((0.5, 0.7))
    volume = volume_of_image(flat)
    assert (volume.shape, volume.spacing_mm) == ((1, 5, 6), (1.0, 0.7, 0.5))
    series = SimpleITK.Image((6, 5, 4, 3), SimpleITK.sitkInt16)
    series[5, 4, 3, 2] = 7
    volume = volume_of_image(series)
    assert volume.array.shape == (3, 4, 5, 6)
    assert volume.array[2, 3, 4, 5] == 7


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd", ".nhdr"])
@pytest.mark.parametrize("compress", [False, True], ids=["raw", "packed"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "f4", "f8"])
def test_files_are_read_as_they_are(
    tmp_path: Path, scan: Volume, ending: str, compress: bool, dtype: str
) -> None:
    written = scan.with_array(scan.array.astype(dtype))
    path = save(tmp_path / f"scan{ending}", written, compress)
    volume = read_volume(path)
    assert volume.array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(volume.array, written.array)
    np.testing.assert_allclose(volume.affine, scan.affine, rtol=1e-13)  # 17 digits in the text
    grid = read_grid(path)
    assert (grid.shape, grid.num_channels) == (scan.shape, 1)
    np.testing.assert_array_equal(grid.affine, volume.affine)


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_channels_only_where_allowed(tmp_path: Path, scan: Volume, ending: str) -> None:
    both = scan.with_array(np.concatenate([scan.array, scan.array + 1]))
    path = save(tmp_path / f"a{ending}", both, compress=True)
    with pytest.raises(VolumeError, match=r"2 values a voxel .* grid of \(9, 10, 11\)"):
        read_volume(path)
    np.testing.assert_array_equal(read_volume(path, allow_channels=True).array, both.array)
    assert read_grid(path).num_channels == 2


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
@pytest.mark.parametrize("compress", [False, True], ids=["raw", "packed"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_cut_files_are_refused(
    tmp_path: Path, scan: Volume, ending: str, compress: bool, share: float
) -> None:
    path = save(tmp_path / f"scan{ending}", scan, compress)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    fault = "stream ends early" if compress else "the file ends early"
    with pytest.raises(VolumeError, match=rf"{path.name}: .*{fault}: [\d.]+ % of the voxels"):
        read_volume(path)


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_no_flipped_bit_in_a_packed_file_passes(tmp_path: Path, scan: Volume, ending: str) -> None:
    path = save(tmp_path / f"scan{ending}", scan, compress=True)
    whole = path.read_bytes()
    end_of_header = whole.index(b"LOCAL\n") + 6 if ending == ".mha" else whole.index(b"\n\n") + 12
    rng = np.random.default_rng(4)
    for position in rng.integers(end_of_header, len(whole), 40):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(VolumeError, match="stream"):
            read_volume(path)


def test_voxels_in_a_file_that_is_missing(tmp_path: Path, scan: Volume) -> None:
    path = save(tmp_path / "a.mhd", scan, compress=True)
    (tmp_path / "a.zraw").unlink()
    with pytest.raises(VolumeError, match=r"voxels are in a\.zraw, which is missing"):
        read_volume(path)
    path = save(tmp_path / "b.nhdr", scan, compress=True)
    (tmp_path / "b.raw.gz").unlink()
    with pytest.raises(VolumeError, match=r"couldn.t open .*b\.raw\.gz"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_what_is_of_another_format_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<html>404</html>" * 40)
    for read in (read_volume, read_grid):
        with pytest.raises(VolumeError, match="SimpleITK cannot read it: "):
            read(tmp_path / name)


def test_a_singular_direction_is_refused(tmp_path: Path, scan: Volume) -> None:
    path = write_volume(scan, tmp_path / "scan.nrrd")
    text, voxels = path.read_bytes().split(b"\n\n", 1)
    lines = [
        b"space directions: (1,0,0) (0,1,0) (1,0,0)" if b"space directions" in line else line
        for line in text.split(b"\n")
    ]
    path.write_bytes(b"\n".join(lines) + b"\n\n" + voxels)
    with pytest.raises(VolumeError, match=r"parallel|[Dd]irection|determinant"):
        read_volume(path)
