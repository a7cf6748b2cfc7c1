from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from volunet.errors import OutputError, VolumeError
from volunet.volumes import Volume, read_volume, write_volume

ENDINGS = pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@ENDINGS
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_what_is_written_is_read(tmp_path: Path, scan: Volume, ending: str, dtype: str) -> None:
    written = scan.with_array(scan.array.astype(dtype))
    path = write_volume(written, tmp_path / "new" / f"scan{ending}")
    volume = read_volume(path)
    assert volume.array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(volume.array, written.array)
    # NIfTI holds the affine as float32, the others as text of 17 digits
    np.testing.assert_allclose(volume.affine, scan.affine, rtol=1e-6 if "nii" in ending else 1e-13)
    again = read_volume(write_volume(volume, tmp_path / f"again{ending}"))
    np.testing.assert_allclose(again.affine, volume.affine, rtol=0 if "nii" in ending else 1e-13)
    assert names_in(path.parent) == [path.name]


@ENDINGS
@pytest.mark.parametrize(
    ("dtype", "stored"), [("?", "u1"), ("f2", "f4"), ("i8", "u1"), ("u8", "u1")]
)
def test_other_types_are_stored_safely(
    tmp_path: Path, oblique_affine: np.ndarray, ending: str, dtype: str, stored: str
) -> None:
    array = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    path = write_volume(Volume(array, oblique_affine), tmp_path / f"a{ending}")
    volume = read_volume(path)
    assert volume.array.dtype == np.dtype(stored)
    np.testing.assert_array_equal(volume.array[0], array)


def test_labels_read_by_simpleitk_stay_integers(tmp_path: Path, scan: Volume) -> None:
    labels = scan.with_array((scan.array % 7).astype(np.uint8))
    path = write_volume(labels, tmp_path / "labels.nii.gz")
    image = SimpleITK.ReadImage(str(path))
    assert image.GetPixelID() == SimpleITK.sitkUInt8
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), labels.array[0])
    np.testing.assert_allclose(image.GetSpacing(), (0.7, 0.9, 3.0), rtol=1e-6)  # float32 header


@ENDINGS
def test_channels_are_kept(tmp_path: Path, scan: Volume, ending: str) -> None:
    both = scan.with_array(np.concatenate([scan.array, -scan.array]))
    path = write_volume(both, tmp_path / f"a{ending}")
    np.testing.assert_array_equal(read_volume(path, allow_channels=True).array, both.array)


@ENDINGS
def test_views_with_negative_strides_are_written(tmp_path: Path, scan: Volume, ending: str) -> None:
    turned = scan.with_array(scan.array[:, ::-1].transpose(0, 3, 1, 2))
    path = write_volume(turned, tmp_path / f"a{ending}")
    np.testing.assert_array_equal(read_volume(path).array, turned.array)


def test_an_existing_file_is_kept_unless_told(tmp_path: Path, scan: Volume) -> None:
    path = write_volume(scan, tmp_path / "a.nii")
    with pytest.raises(OutputError, match=r"a\.nii: the file exists"):
        write_volume(scan.with_array(scan.array + 1), path)
    assert read_volume(path).array[0, 0, 0, 0] == scan.array[0, 0, 0, 0]
    write_volume(scan.with_array(scan.array + 1), path, overwrite=True)
    assert read_volume(path).array[0, 0, 0, 0] == scan.array[0, 0, 0, 0] + 1


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr", "a.png", "a"])
def test_unknown_endings_are_refused(tmp_path: Path, scan: Volume, name: str) -> None:
    with pytest.raises(OutputError, match=r"(?s)is not known.*\.nii\.gz, \.nii, \.nrrd, \.mha"):
        write_volume(scan, tmp_path / name)


def test_numbers_that_no_file_holds(tmp_path: Path, scan: Volume) -> None:
    with pytest.raises(VolumeError, match="values from 0 to 1099511627776"):
        write_volume(scan.with_array(np.array([[[0, 2**40]]])), tmp_path / "a.nii")
    assert names_in(tmp_path) == []


@ENDINGS
def test_a_disk_that_fills_up_leaves_nothing(
    tmp_path: Path, files_of_at_most: Callable[[int], AbstractContextManager[None]], ending: str
) -> None:
    noise = np.random.default_rng(0).normal(size=(30, 30, 30))  # 216 kB, does not compress
    with (
        pytest.raises(OutputError, match=r"(?s)a\.(n|m).*Up to 216,000 bytes must fit there"),
        files_of_at_most(20_000),
    ):
        write_volume(Volume.of_array(noise, (1.0, 1.0, 1.0)), tmp_path / f"a{ending}")
    assert names_in(tmp_path) == []
