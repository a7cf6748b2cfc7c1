from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from volunet.errors import VolumeError
from volunet.volumes import Volume, check_finite, read_grid, read_volume

READ = pytest.mark.parametrize("read", [read_volume, read_grid], ids=["volume", "grid"])


@READ
def test_a_missing_file(tmp_path: Path, read) -> None:
    with pytest.raises(VolumeError, match=r"(?s)a.nii: no such file.*the folder exists"):
        read(tmp_path / "a.nii")
    with pytest.raises(VolumeError, match="the folder is missing too"):
        read(str(tmp_path / "b" / "a.nii"))


@READ
def test_a_folder(tmp_path: Path, read) -> None:
    with pytest.raises(VolumeError, match=r"(?s)a folder.*DICOM series"):
        read(tmp_path)


@READ
def test_an_unknown_ending_lists_the_known(tmp_path: Path, read) -> None:
    (tmp_path / "scan.png").write_bytes(b"x")
    with pytest.raises(VolumeError, match=r"(?s)'\.png' is not known.*\.nii\.gz, \.nii, \.nrrd"):
        read(tmp_path / "scan.png")


@READ
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"])
def test_an_empty_file(tmp_path: Path, read, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(VolumeError, match=f"{name}: the file is empty"):
        read(tmp_path / name)


def test_a_fault_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.nii").write_bytes(b"x" * 400)

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(VolumeError, match="it cannot be read: permission denied"):
        read_volume(tmp_path / "a.nii")


def test_finite_voxels_pass_and_others_are_counted() -> None:
    array = np.zeros((2, 3, 4, 5), np.float32)
    volume = Volume(array, np.eye(4), Path("case_07.nii"))
    check_finite(volume)
    check_finite(volume.with_array(array.astype(np.int16)))
    array[0, 0, 0, :3] = np.nan
    array[1, 2, 3, 4] = -np.inf
    with pytest.raises(VolumeError, match=r"case_07\.nii: 3 voxels are NaN and 1 infinite, of 120"):
        check_finite(volume)


@pytest.mark.parametrize("name", ["ct_slab_3mm", "ct_slab_3mm_labels", "mr_t1_head"])
def test_public_scans_as_nibabel_and_simpleitk_see_them(shared_volumes: Path, name: str) -> None:
    path = shared_volumes / f"{name}.nii.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not among the public volumes")
    volume, reference = read_volume(path), nibabel.load(path)
    image = SimpleITK.ReadImage(str(path))
    assert volume.shape == reference.shape[2::-1]
    np.testing.assert_array_equal(volume.affine, reference.affine)
    assert volume.orientation == "".join(nibabel.aff2axcodes(reference.affine))
    # SimpleITK takes spacing and direction from other fields of the header, float32 each
    np.testing.assert_allclose(volume.spacing_mm, image.GetSpacing()[::-1], rtol=1e-5)
    np.testing.assert_allclose(
        volume.array[0], SimpleITK.GetArrayFromImage(image), rtol=1e-6, atol=0
    )
    grid = read_grid(path)
    assert grid.shape == volume.shape
    np.testing.assert_array_equal(grid.affine, volume.affine)


def test_a_public_perfusion_series(shared_volumes: Path) -> None:
    path = shared_volumes / "mr_perfusion_4d.nii.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not among the public volumes")
    reference = nibabel.load(path)
    grid = read_grid(path)
    assert (*grid.shape[::-1], grid.num_channels) == reference.shape
    with pytest.raises(VolumeError, match=r"4 axes \(x, y, z, n\)"):
        read_volume(path)
    volume = read_volume(path, allow_channels=True)
    assert volume.array.shape == reference.shape[::-1]
    last = np.asarray(reference.dataobj[..., -1])
    np.testing.assert_allclose(volume.array[-1], last.transpose(2, 1, 0), rtol=1e-6)
