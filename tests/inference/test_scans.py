"""Files and folders → scans: which names belong together, and which do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from volunet.errors import DatasetError, VolumeError
from volunet.inference.scans import Scan, find_scans, read_scan, read_scan_grid
from volunet.volumes import Volume, write_volume
from volunet.volumes.slab_writer import write_slabs


def folder(path: Path, *names: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name in names:
        (path / name).touch()
    return path


def names_of(scans: list[Scan]) -> dict[str, list[str]]:
    return {scan.name: [file.name for file in scan.files] for scan in scans}


def test_a_folder_gives_its_scans_by_name(tmp_path: Path) -> None:
    here = folder(
        tmp_path, "b.nii.gz", "a.NII", "c.1.nrrd", "d.mha", "._a.nii", "notes.txt", "plan.json"
    )
    folder(here / "below", "e.nii.gz")
    assert names_of(find_scans([here], 1)) == {
        "a": ["a.NII"],
        "b": ["b.nii.gz"],
        "c.1": ["c.1.nrrd"],
        "d": ["d.mha"],
    }


def test_channels_are_put_together_in_their_order(tmp_path: Path) -> None:
    here = folder(tmp_path, "x_0001.nii.gz", "x_0000.nii.gz", "y_0000.nii.gz", "y_0001.nii.gz")
    assert names_of(find_scans([here], 2)) == {
        "x": ["x_0000.nii.gz", "x_0001.nii.gz"],
        "y": ["y_0000.nii.gz", "y_0001.nii.gz"],
    }


def test_one_channel_has_the_suffix_of_nnunet_taken_off(tmp_path: Path) -> None:
    here = folder(tmp_path, "x_0000.nii.gz", "y_0000.nii.gz", "plain.nii.gz")
    assert list(names_of(find_scans([here], 1))) == ["plain", "x", "y"]


def test_numbers_beyond_the_channels_belong_to_the_name(tmp_path: Path) -> None:
    here = folder(tmp_path, "hip_0000.nii.gz", "hip_0001.nii.gz", "hip_0017.nii.gz")
    assert list(names_of(find_scans([here], 1))) == ["hip_0000", "hip_0001", "hip_0017"]
    assert list(names_of(find_scans([here], 2))) == ["hip_0000", "hip_0001", "hip_0017"]


def test_numbers_of_other_lengths_belong_to_the_name(tmp_path: Path) -> None:
    here = folder(tmp_path, "a_000.nii.gz", "b_00000.nii.gz", "c0000.nii.gz")
    assert list(names_of(find_scans([here], 1))) == ["a_000", "b_00000", "c0000"]


def test_files_and_folders_are_taken_together(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "1", "b.nii.gz", "z.nii.gz"), folder(tmp_path / "2", "a.mha")
    assert list(names_of(find_scans([str(one / "b.nii.gz"), two], 1))) == ["a", "b"]


@pytest.mark.parametrize(
    ("first", "second"),
    [("a.nii.gz", "a.mha"), ("a.nii.gz", "a_0000.nii.gz")],
)
def test_two_scans_of_one_name_are_refused(tmp_path: Path, first: str, second: str) -> None:
    here = folder(tmp_path, first, second)
    with pytest.raises(DatasetError) as caught:
        find_scans([here], 1)
    assert caught.value.where == "a"
    assert caught.value.found.startswith("2 files of that name: ")
    assert str(here / first) in caught.value.found
    assert str(here / second) in caught.value.found


def test_one_file_named_twice_is_one_scan(tmp_path: Path) -> None:
    here = folder(tmp_path, "a.nii.gz", "b.nii.gz")
    assert names_of(find_scans([here / "b.nii.gz", here], 1)) == {
        "a": ["a.nii.gz"],
        "b": ["b.nii.gz"],
    }


def test_a_folder_without_scans_is_refused(tmp_path: Path) -> None:
    folder(tmp_path / "below", "a.nii.gz")
    with pytest.raises(DatasetError) as caught:
        find_scans([tmp_path], 1)
    assert str(caught.value) == (
        f"{tmp_path}: no scan in this folder.\n"
        "Files that end in .nii.gz, .nii, .nrrd, .nhdr, .mha, .mhd, or folders of OME-Zarr.\n"
        "Check the path; folders below it are not searched."
    )


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    here = folder(tmp_path, "a.nii.gz")
    with pytest.raises(VolumeError, match=r"gone\.nii\.gz: no such file or folder"):
        find_scans([here, tmp_path / "gone.nii.gz"], 1)


def write(path: Path, value: float, channels: int = 1, spacing: float = 1.0) -> Path:
    array = np.full((channels, 3, 4, 5), value, np.float32)
    array += np.arange(channels, dtype=np.float32)[:, None, None, None]
    return write_volume(Volume.of_array(array, (spacing, 1.0, 1.0)), path)


def test_channels_in_files_of_their_own_are_read_in_order(tmp_path: Path) -> None:
    write(tmp_path / "x_0000.nii.gz", 10)
    write(tmp_path / "x_0001.mha", 20)
    (scan,) = find_scans([tmp_path], 2)
    volume = read_scan(scan, 2)
    assert volume.array.shape == (2, 3, 4, 5)
    assert volume.array[:, 0, 0, 0].tolist() == [10, 20]


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd"])
def test_channels_in_one_file_are_read_where_the_model_has_several(
    tmp_path: Path, ending: str
) -> None:
    file = write(tmp_path / f"x.{ending}", 10, channels=3)
    assert read_scan(Scan("x", (file,)), 3).array[:, 0, 0, 0].tolist() == [10, 11, 12]
    with pytest.raises(VolumeError, match=rf"x\.{ending}"):
        read_scan(Scan("x", (file,)), 1)


def test_channels_on_two_grids_are_refused(tmp_path: Path) -> None:
    files = (write(tmp_path / "x_0000.nii.gz", 1), write(tmp_path / "x_0001.nii.gz", 1, spacing=2))
    with pytest.raises(VolumeError) as caught:
        read_scan(Scan("x", files), 2)
    assert caught.value.where == str(files[1])
    assert (
        caught.value.found
        == "first channel spacing (1, 1, 1) mm, this channel spacing (2, 1, 1) mm"
    )


def test_folders_of_ome_zarr_are_scans(tmp_path: Path) -> None:
    here = folder(tmp_path / "in", "b.nii.gz")
    array = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    volume = Volume.of_array(array, (3.0, 2.0, 1.0))
    for name in ("a.zarr", "c.ome.zarr"):
        write_slabs(volume.with_array(array[:1]), here / name, tmp_path)
    found = find_scans([here], 1)
    assert names_of(found) == {"a": ["a.zarr"], "b": ["b.nii.gz"], "c": ["c.ome.zarr"]}
    assert names_of(find_scans([here / "a.zarr"], 1)) == {"a": ["a.zarr"]}
    assert np.array_equal(read_scan(found[0], 1).array, array[:1])
    write_slabs(volume, tmp_path / "two.zarr", tmp_path)
    two = Scan("two", (tmp_path / "two.zarr",))
    assert np.array_equal(read_scan(two, 2).array, array)
    with pytest.raises(VolumeError, match=r"two\.zarr"):
        read_scan(two, 1)


@pytest.mark.parametrize("ending", ["nii.gz", "nii", "nrrd", "zarr"])
def test_the_grid_of_a_scan_is_that_of_its_voxels(tmp_path: Path, ending: str) -> None:
    array = np.zeros((2, 3, 4, 5), np.float32)
    volume = Volume.of_array(array, (3.0, 2.0, 1.0))
    file = tmp_path / f"both.{ending}"
    if ending == "zarr":
        write_slabs(volume, file, tmp_path)
    else:
        write_volume(volume, file)
    grid, read = (one(Scan("both", (file,)), *more) for one, more in
                  ((read_scan_grid, ()), (read_scan, (2,))))  # fmt: skip
    assert (grid.shape, grid.num_channels) == ((3, 4, 5), 2)
    assert np.array_equal(grid.affine, read.affine)


def test_the_grid_of_channels_in_files_of_their_own(tmp_path: Path) -> None:
    files = tuple(write(tmp_path / f"x_000{n}.nii.gz", n) for n in range(3))
    assert read_scan_grid(Scan("x", files)).num_channels == 3
    other = write(tmp_path / "x_0003.nii.gz", 1, spacing=2)
    with pytest.raises(VolumeError, match=r"x_0003\.nii\.gz: first channel spacing"):
        read_scan_grid(Scan("x", (*files, other)))
