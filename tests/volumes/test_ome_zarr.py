from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from volunet.errors import ShapeError, VolumeError
from volunet.volumes import Grid
from volunet.volumes.ome_zarr import check_upright
from volunet.volumes.slabs import open_slabs

SHAPE = (5, 6, 7)
UNITS = {"z": "millimeter", "y": "micrometer", "x": "centimeter"}


def image_of(
    folder: Path,
    array: np.ndarray,
    names: str = "zyx",
    version: str = "0.5",
    **changes: Any,
) -> Path:
    """Write an image as another program would; `changes` replace parts of its multiscale."""
    lead = len(names) - 3
    old = version == "0.4"
    level = {
        "path": "level/0",
        "coordinateTransformations": [
            {"type": "scale", "scale": [1.0] * lead + [3.0, 700.0, 0.08]},
            {"type": "translation", "translation": [0.0] * lead + [-10.0, 2000.0, 0.5]},
        ],
    }
    kinds = {"c": "channel", "t": "time"}
    axes = [{"name": n, "type": kinds.get(n, "space"), "unit": UNITS.get(n)} for n in names]
    multiscale = {"axes": axes, "datasets": [level]} | changes
    attributes: dict[str, Any] = {"multiscales": [multiscale]}
    if not old:
        attributes = {"ome": attributes | {"version": "0.5"}}
    zarr_format = 2 if old else 3
    group = zarr.create_group(store=folder, attributes=attributes, zarr_format=zarr_format)
    chunks = tuple(min(4, length) for length in array.shape)
    created = group.create_array("level/0", shape=array.shape, dtype=array.dtype, chunks=chunks)
    created[...] = array
    return folder


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 3000, SHAPE).astype(np.int16)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("dtype", ["u1", ">i2", "<u4", "f4", ">f8"])
def test_values_and_place(
    tmp_path: Path, array: np.ndarray, axis: int, version: str, dtype: str
) -> None:
    array = array.astype(dtype)
    slabs = open_slabs(image_of(tmp_path / "a.zarr", array, version=version), tmp_path, axis)
    assert (slabs.grid.shape, slabs.grid.num_channels) == (SHAPE, 1)
    expected = np.diag([0.8, 0.7, 3.0, 1.0])
    expected[:3, 3] = (5.0, 2.0, -10.0)
    np.testing.assert_allclose(slabs.grid.affine, expected, rtol=1e-15)  # one product's rounding
    for start, stop in ((0, 3), (3, 5), (0, SHAPE[axis])):
        values = slabs.read(axis, start, stop)
        assert values.dtype == slabs.dtype == array.dtype.newbyteorder("=")
        assert values.flags.c_contiguous
        np.testing.assert_array_equal(values[0], np.take(array, range(start, stop), axis))
    with pytest.raises(ShapeError, match=rf"planes \[0, 8\) along axis {axis}"):
        slabs.read(axis, 0, 8)


@pytest.mark.parametrize("names", ["czyx", "tczyx", "tzyx"])
def test_channels_and_a_single_time(tmp_path: Path, array: np.ndarray, names: str) -> None:
    both = np.stack([array, -array]) if "c" in names else array
    path = image_of(tmp_path / "a.zarr", both[None] if names[0] == "t" else both, names)
    slabs = open_slabs(path, tmp_path, 1, allow_channels=True)
    assert slabs.grid.num_channels == (2 if "c" in names else 1)
    np.testing.assert_array_equal(slabs.read(1, 2, 5), both.reshape(-1, *SHAPE)[:, :, 2:5])
    if "c" in names:
        with pytest.raises(
            VolumeError, match=r"axes \(.*c, z, y, x\): .*2 × 5 × 6 × 7\.(?s:.*)allow"
        ):
            open_slabs(path, tmp_path, 1)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_one_of_several_series(tmp_path: Path, array: np.ndarray, version: str) -> None:
    series(tmp_path / "a.zarr")
    path = image_of(tmp_path / "a.zarr" / "0", array, version=version)
    np.testing.assert_array_equal(open_slabs(path, tmp_path, 0).read(0, 0, 5)[0], array)
    (tmp_path / "folder").mkdir()
    with pytest.raises(VolumeError, match="folder: a folder"):
        open_slabs(tmp_path / "folder", tmp_path, 0)


def test_a_time_series_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    path = image_of(tmp_path / "a.zarr", np.stack([array] * 3), "tzyx")
    with pytest.raises(VolumeError, match=r"4 axes \(t, z, y, x\): 3 × 5 × 6 × 7"):
        open_slabs(path, tmp_path, 0, allow_channels=True)


def test_transformations_of_the_whole_image_come_last(tmp_path: Path, array: np.ndarray) -> None:
    more = [
        {"type": "identity"},
        {"type": "scale", "scale": [2.0, 1.0, -1.0]},
        {"type": "translation", "translation": [1.0, 0.0, 0.0]},
    ]
    path = image_of(tmp_path / "a.zarr", array, coordinateTransformations=more)
    affine = open_slabs(path, tmp_path, 0).grid.affine
    np.testing.assert_allclose(np.diag(affine), [-0.8, 0.7, 6.0, 1.0], rtol=1e-15)
    np.testing.assert_allclose(affine[:3, 3], [-5.0, 2.0, -19.0], rtol=1e-15)


def axes(names: str, unit: Any = "millimeter") -> list[dict[str, Any]]:
    return [{"name": name, "type": "space", "unit": unit} for name in names]


def level(*transforms: Any, path: Any = "level/0") -> list[dict[str, Any]]:
    return [{"path": path, "coordinateTransformations": list(transforms)}]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"axes": None}, "an image without axes"),
        ({"axes": ["z", "y", "x"]}, "an image without axes"),
        ({"axes": axes("xyz")}, "axes x, y, z"),
        ({"axes": axes("yx")}, "axes y, x"),
        ({"axes": axes("czyx")}, r"shape \(5, 6, 7\) with 4 axes \(c, z, y, x\)"),
        ({"axes": axes("zyx", None)}, r"z, y, x in the units \(none\), \(none\), \(none\)"),
        ({"axes": axes("zyx", "parsec")}, "in the units parsec"),
        ({"axes": axes("zyx", ["millimeter"])}, r"in the units \['millimeter'\]"),
        ({"datasets": []}, "without its first level"),
        ({"datasets": level(path="gone")}, "without its first level"),
        ({"datasets": level(path=3)}, "without its first level"),
        ({"datasets": level(path="level")}, "first level is no array"),
        ({"datasets": [{"path": "level/0"}]}, "no place in space"),
        ({"datasets": level({"type": "affine"})}, "a transformation of type 'affine'"),
        ({"datasets": level({"type": "scale", "path": "a"})}, "no place in space"),
        ({"datasets": level({"type": "scale", "scale": [1, 2]})}, r"a scale of \[1, 2\]"),
        ({"datasets": level({"type": "scale", "scale": "abc"})}, "no place in space"),
        ({"datasets": level({"type": "scale", "scale": [1, 0, 1]})}, "voxel spacing of 0 mm"),
        (
            {"datasets": level({"type": "scale", "scale": [1, 1e999, 1]})},
            r"a scale of \[1, inf, 1\]",
        ),
    ],
)
def test_metadata_that_are_no_volume(
    tmp_path: Path, array: np.ndarray, changes: dict[str, Any], found: str
) -> None:
    path = image_of(tmp_path / "a.zarr", array, **changes)
    with pytest.raises(VolumeError, match=rf"a\.zarr: .*{found}"):
        open_slabs(path, tmp_path, 0)


def no_group(path: Path) -> None:
    path.mkdir()


def an_array(path: Path) -> None:
    zarr.create_array(store=path, data=np.zeros(SHAPE))


def no_image(path: Path) -> None:
    zarr.create_group(store=path, attributes={"ome": {"version": "0.5"}})


def series(path: Path) -> None:
    zarr.create_group(store=path, attributes={"ome": {"bioformats2raw.layout": 3}})


def no_json(path: Path) -> None:
    path.mkdir()
    (path / "zarr.json").write_text("{")


def strange(path: Path) -> None:
    zarr.create_group(store=path, attributes={"ome": ["multiscales"]})


@pytest.mark.parametrize("make", [no_group, an_array, no_image, series, no_json, strange])
def test_folders_that_are_no_image(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.zarr")
    with pytest.raises(VolumeError, match=r"(?s)a\.zarr: .*OME-Zarr image.*folder of one image"):
        open_slabs(tmp_path / "a.zarr", tmp_path, 0)


@pytest.mark.parametrize("dtype", ["?", "c8"])
def test_voxels_that_are_no_numbers(tmp_path: Path, array: np.ndarray, dtype: str) -> None:
    path = image_of(tmp_path / "a.zarr", array.astype(dtype))
    with pytest.raises(VolumeError, match=r"its voxels are (bool|complex64)"):
        open_slabs(path, tmp_path, 0)


def chunks_of(path: Path) -> list[Path]:
    return sorted(f for f in path.rglob("*") if f.is_file() and f.name[0] in "01")


def test_a_damaged_chunk_is_told(tmp_path: Path, array: np.ndarray) -> None:
    path = image_of(tmp_path / "a.zarr", array)
    slabs = open_slabs(path, tmp_path, 0)
    last = chunks_of(path)[-1]  # of planes 4, rows 4 and 5, columns 4 to 6
    last.write_bytes(last.read_bytes()[:-5])
    np.testing.assert_array_equal(slabs.read(0, 0, 4)[0], array[:4])
    with pytest.raises(VolumeError, match=r"a chunk of planes \[2, 5\) of axis 0 is damaged"):
        slabs.read(0, 2, 5)


@pytest.mark.parametrize("kept", [0, 10, 16, -1])
def test_a_cut_chunk_of_blosc_is_told(tmp_path: Path, array: np.ndarray, kept: int) -> None:
    """Whose decoder in numcodecs reads on beyond the end of the file's bytes."""
    path = image_of(tmp_path / "a.zarr", array, version="0.4")
    assert json.loads((path / "level/0/.zarray").read_text())["compressor"]["id"] == "blosc"
    last = chunks_of(path)[-1]
    last.write_bytes(last.read_bytes()[:kept])
    with pytest.raises(VolumeError, match=r"chunk level/0/1\.1\.1 is cut off: \d+ of \d+ bytes"):
        open_slabs(path, tmp_path, 0)


def test_no_flipped_bit_of_a_written_chunk_passes(tmp_path: Path) -> None:
    from volunet.volumes.slab_writer import open_slab_writer

    rng = np.random.default_rng(4)
    block = rng.integers(0, 200, (1, *SHAPE)).astype(np.uint8)
    with open_slab_writer(
        tmp_path / "a.zarr", Grid(SHAPE, np.eye(4)), np.uint8, 0, tmp_path
    ) as writer:
        writer.write(0, block)
    slabs = open_slabs(tmp_path / "a.zarr", tmp_path, 0)
    (chunk,) = chunks_of(tmp_path / "a.zarr" / "0" / "c")
    content = chunk.read_bytes()
    passed = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(8))
        chunk.write_bytes(damaged)
        try:
            values = slabs.read(0, 0, 5)
        except VolumeError as error:
            assert "is damaged" in str(error)  # noqa: PT017 - some bits of the head mean nothing
        else:
            passed += 1
            np.testing.assert_array_equal(values, block)
    assert passed <= 2


def turned(angle: float) -> Grid:
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return Grid((10, 100, 100), affine)


def test_grids_that_ngff_says(oblique_affine: np.ndarray) -> None:
    check_upright(Grid(SHAPE, np.diag([-1.0, -2.0, 3.0, 1.0])), Path("a.zarr"))
    check_upright(turned(5e-6), Path("a.zarr"))  # moves voxels by up to 0.7 µm
    swapped = np.eye(4)[[1, 0, 2, 3]]
    for grid in (Grid(SHAPE, oblique_affine), Grid((1, 1, 1), swapped), turned(2e-5)):
        with pytest.raises(
            VolumeError, match=r"a\.zarr: a grid whose axes i, j, k are not x, y, z"
        ):
            check_upright(grid, Path("a.zarr"))


def test_the_written_metadata(tmp_path: Path) -> None:
    """Against the text of https://ngff.openmicroscopy.org/0.5/, not against our own reader."""
    from volunet.volumes.slab_writer import open_slab_writer

    affine = np.diag([-0.8, -0.7, 3.0, 1.0])
    affine[:3, 3] = (5.0, 2.0, -10.0)
    path = tmp_path / "a.zarr"
    with open_slab_writer(path, Grid((70, 6, 7), affine, 2), np.uint8, 0, tmp_path) as writer:
        writer.write(0, np.ones((2, 70, 6, 7), np.uint8))
    group = json.loads((path / "zarr.json").read_text())
    assert (group["zarr_format"], group["node_type"]) == (3, "group")
    ome = group["attributes"]["ome"]
    assert ome["version"] == "0.5"
    (multiscale,) = ome["multiscales"]
    length = {"type": "space", "unit": "millimeter"}
    assert multiscale["axes"] == [
        {"name": "c", "type": "channel"},
        *({"name": name} | length for name in "zyx"),
    ]
    assert multiscale["datasets"] == [
        {
            "path": "0",
            "coordinateTransformations": [
                {"type": "scale", "scale": [1.0, 3.0, -0.7, -0.8]},
                {"type": "translation", "translation": [0.0, -10.0, 2.0, 5.0]},
            ],
        }
    ]
    written = json.loads((path / "0" / "zarr.json").read_text())
    assert written["dimension_names"] == ["c", "z", "y", "x"]
    assert written["chunk_grid"]["configuration"]["chunk_shape"] == [1, 64, 6, 7]
    assert {"name": "zstd", "configuration": {"level": 3, "checksum": True}} in written["codecs"]
