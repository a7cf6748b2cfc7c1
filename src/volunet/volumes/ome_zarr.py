"""OME-Zarr (NGFF) folders ↔ grids and planes.

The first level of the first image is the volume. NGFF says which axis is which and how long a step
is, but not where a patient's left is: x, y, z are taken and written as RAS+, the axes of
`volunet.volumes.axes`. A scale may be negative, which is how a grid in LPS is written.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.errors import BaseZarrError

from volunet.errors import VolumeError
from volunet.volumes.axes import Affine, affine_of
from volunet.volumes.grid import Grid, check_affine
from volunet.volumes.raw import Box, RawFile, check_planes

_MILLIMETRES: Final = {
    "angstrom": 1e-7,
    "nanometer": 1e-6,
    "micrometer": 1e-3,
    "millimeter": 1.0,
    "centimeter": 10.0,
    "decimeter": 100.0,
    "meter": 1000.0,
}
"""Of NGFF's units of length those that a scan may have, in mm."""

_AXES: Final = (["z", "y", "x"], ["c", "z", "y", "x"], ["t", "z", "y", "x"], list("tczyx"))
_CHUNK = 64
_LITTLE_MEMORY: Final = {"async.concurrency": 2}
"""Chunks that zarr unpacks at once."""

_TOLERANCE_MM = 1e-3
_BLOSC_HEAD_BYTES = 16
"""The last four tell how long the whole is (c-blosc, README_CHUNK_FORMAT)."""

_ZARR_ERRORS = (BaseZarrError, OSError, ValueError, KeyError, TypeError, RuntimeError, zlib.error)
"""What zarr and its codecs raise where a folder or a chunk is not as it should be."""


@dataclass(frozen=True, eq=False)
class OmeZarrSlabs:
    """A `volunet.volumes.slabs.SlabReader` of an OME-Zarr folder.

    Two faults cannot be seen. A chunk that is missing is, by zarr's own rule, full of the fill
    value; and a flipped bit shows only in chunks with a checksum, as those written here have.
    Reading holds the slab, and it once more where the folder's byte order is not the machine's.

    Args:
        path: The folder.
        grid: Size, channels and place.
        array: The first level.
        leading: Names of the axes before z, y, x.
    """

    path: Path
    grid: Grid
    array: zarr.Array[Any]
    leading: tuple[str, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values that `read` gives."""
        return np.dtype(self.array.dtype).newbyteorder("=")

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Read planes [start, stop) of one axis: see `volunet.volumes.slabs.SlabReader`."""
        check_planes(self.path, self.grid.shape, axis, start, stop)
        wanted: list[int | slice] = [0 if name == "t" else slice(None) for name in self.leading]
        wanted += [slice(start, stop) if index == axis else slice(None) for index in range(3)]
        try:
            with zarr.config.set(_LITTLE_MEMORY):
                values = np.asarray(self.array[tuple(wanted)])
        except _ZARR_ERRORS as error:
            raise VolumeError(
                self.path,
                f"a chunk of planes [{start}, {stop}) of axis {axis} is damaged ({error})",
                "Every chunk can be read and unpacked.",
                "Copy or download the folder again.",
            ) from error
        values = values if values.ndim == 4 else values[np.newaxis]
        return np.ascontiguousarray(values, self.dtype)


def open_ome_zarr(path: Path, allow_channels: bool) -> OmeZarrSlabs:
    """Read the metadata of an OME-Zarr folder, NGFF 0.4 (zarr 2) or 0.5 (zarr 3).

    Args:
        path: The folder of one image (of several series, the folder of one).
        allow_channels: Take more than one channel.

    Raises:
        VolumeError: No NGFF image, one without z, y, x in a unit of length, several times or
            channels that were not allowed, or voxels that are no numbers.
    """
    multiscale = _multiscale(path)
    names, units = _axes(multiscale, path)
    array = _first_level(multiscale, path)
    if array.ndim != len(names) or 0 in array.shape:
        raise _refused(
            path,
            f"an array of shape {array.shape} with {len(names)} axes ({', '.join(names)})",
            "Every axis has a name, and is at least 1 long.",
        )
    lengths = dict(zip(names, array.shape, strict=True))
    channels = int(lengths.get("c", 1))
    if lengths.get("t", 1) != 1 or (channels != 1 and not allow_channels):
        raise VolumeError(
            path,
            f"{array.ndim} axes ({', '.join(names)}): {' × '.join(map(str, array.shape))}",
            "A volume has 3 axes; a time series is not one, and channels are taken only where "
            "there are to be some.",
            "Save one time point, or pass allow_channels=True where c counts channels.",
        )
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise _refused(
            path,
            f"its voxels are {array.dtype.name}",
            "Voxels are integers or floats of up to 64 bits.",
        )
    _check_blosc(array, path)
    affine = _affine(multiscale, names, units, path)
    shape = (int(lengths["z"]), int(lengths["y"]), int(lengths["x"]))
    return OmeZarrSlabs(path, Grid(shape, affine, channels), array, tuple(names[:-3]))


def check_upright(grid: Grid, path: Path) -> None:
    """Refuse a grid that NGFF 0.5 cannot say.

    Raises:
        VolumeError: i, j, k are not parallel to x, y, z: some voxel would move by over 1e-3 mm.
    """
    depth, height, width = grid.shape
    linear = grid.affine[:3, :3]
    moved = np.abs(linear - np.diag(np.diag(linear))) @ (width - 1, height - 1, depth - 1)
    if float(np.linalg.norm(moved)) > _TOLERANCE_MM or not np.diag(linear).all():
        raise VolumeError(
            path,
            f"a grid whose axes i, j, k are not x, y, z (it is {grid.orientation}, or oblique)",
            "OME-Zarr (NGFF 0.5) says scales and an origin, and no rotation.",
            "Write .nii.gz instead, or resample the scan onto upright axes first.",
        )


def write_ome_zarr(folder: Path, raw: RawFile, grid: Grid) -> None:
    """Write an NGFF 0.5 image of one level from a raw file, one whole chunk after the other.

    Chunks have 64³ voxels of one channel, packed by zstd with a checksum. Beside zarr's own
    copies, 64 × 64 rows are in memory.

    Args:
        folder: An empty folder, which becomes the image.
        raw: The voxels.
        grid: Their place; `check_upright` took it.
    """
    names = ["z", "y", "x"] if grid.num_channels == 1 else ["c", "z", "y", "x"]
    zarr.create_group(store=folder, attributes={"ome": _attributes(grid, names, folder.name)})
    lead = () if grid.num_channels == 1 else (grid.num_channels,)
    array = zarr.create_array(
        store=folder,
        name="0",
        shape=(*lead, *raw.shape),
        dtype=raw.dtype,
        chunks=(*(1 for _ in lead), *(min(_CHUNK, length) for length in raw.shape)),
        compressors=ZstdCodec(level=3, checksum=True),
        fill_value=0,
        dimension_names=names,
    )
    with raw.path.open("rb", buffering=0) as file, zarr.config.set(_LITTLE_MEMORY):
        for channel in range(grid.num_channels):
            for box in _chunk_rows(raw):
                array[(channel, *box) if lead else box] = raw.read(file.fileno(), channel, box)


def _chunk_rows(raw: RawFile) -> Iterator[Box]:
    """Boxes of whole chunks, whole along the fastest axis of the raw file."""
    second = 1 if raw.axis == 0 else 0
    box = [slice(0, length) for length in raw.shape]
    for plane in range(0, raw.shape[raw.axis], _CHUNK):
        box[raw.axis] = slice(plane, min(plane + _CHUNK, raw.shape[raw.axis]))
        for row in range(0, raw.shape[second], _CHUNK):
            box[second] = slice(row, min(row + _CHUNK, raw.shape[second]))
            yield box[0], box[1], box[2]


def _attributes(grid: Grid, names: list[str], name: str) -> dict[str, Any]:
    lead = len(names) - 3
    # x, y, z reversed: NGFF's numbers are in the order of the array's axes
    scale, origin = np.diag(grid.affine)[2::-1].tolist(), grid.affine[2::-1, 3].tolist()
    transforms = [
        {"type": "scale", "scale": [1.0] * lead + scale},
        {"type": "translation", "translation": [0.0] * lead + origin},
    ]
    axes = [{"name": axis, "type": "space", "unit": "millimeter"} for axis in names[lead:]]
    multiscale = {
        "name": name,
        "axes": [{"name": "c", "type": "channel"}] * lead + axes,
        "datasets": [{"path": "0", "coordinateTransformations": transforms}],
    }
    return {"version": "0.5", "multiscales": [multiscale]}


def _multiscale(path: Path) -> dict[str, Any]:
    try:
        attributes: Any = zarr.open_group(path, mode="r").attrs.asdict()
    except _ZARR_ERRORS as error:
        raise _refused(path, f"no zarr group ({error})") from error
    found = attributes.get("ome", attributes)
    levels = found.get("multiscales") if isinstance(found, dict) else None
    if not (isinstance(levels, list) and levels and isinstance(levels[0], dict)):
        raise _refused(path, "a zarr group without an image (multiscales)")
    return levels[0]


def _axes(multiscale: dict[str, Any], path: Path) -> tuple[list[str], list[str]]:
    """Names of all axes, and the units of z, y, x."""
    axes = multiscale.get("axes")
    if not (isinstance(axes, list) and all(isinstance(axis, dict) for axis in axes)):
        raise _refused(path, "an image without axes")
    names = [axis.get("name") for axis in axes]
    if names not in _AXES:
        raise _refused(
            path,
            f"axes {', '.join(map(str, names))}",
            "The axes are z, y, x in this order; t and c may come before.",
        )
    units = [axis.get("unit") for axis in axes[-3:]]
    if not all(isinstance(unit, str) and unit in _MILLIMETRES for unit in units):
        raise VolumeError(
            path,
            f"z, y, x in the units {', '.join(str(unit or '(none)') for unit in units)}",
            f"Each of them has one of {', '.join(_MILLIMETRES)}.",
            "Write the unit into the axes of multiscales: a guess could be wrong by 1000.",
        )
    return names, units


def _first_level(multiscale: dict[str, Any], path: Path) -> zarr.Array[Any]:
    try:
        found = zarr.open_group(path, mode="r")[multiscale["datasets"][0]["path"]]
    except (*_ZARR_ERRORS, IndexError) as error:
        raise _refused(path, f"an image without its first level ({error})") from error
    if not isinstance(found, zarr.Array):
        raise _refused(path, "an image whose first level is no array")
    return found


def _check_blosc(array: zarr.Array[Any], path: Path) -> None:
    """Refuse chunks that were cut off where their codec would not: blosc reads beyond their end."""
    last = array.compressors[-1] if array.compressors and array.shards is None else None
    if not isinstance(last, BloscCodec) and getattr(last, "codec_id", None) != "blosc":
        return
    for chunk in (path / array.path).rglob("*"):
        if chunk.name.startswith(".") or chunk.name == "zarr.json" or not chunk.is_file():
            continue
        with chunk.open("rb") as file:
            head, held = file.read(_BLOSC_HEAD_BYTES), chunk.stat().st_size
        promised = max(int.from_bytes(head[12:], "little"), _BLOSC_HEAD_BYTES)
        if held < promised:
            raise VolumeError(
                path,
                f"its chunk {chunk.relative_to(path)} is cut off: {held:,} of {promised:,} bytes",
                "Every chunk can be read and unpacked.",
                "Copy or download the folder again.",
            )


def _affine(multiscale: dict[str, Any], names: list[str], units: list[str], path: Path) -> Affine:
    scale, origin = np.ones(3), np.zeros(3)  # z, y, x
    try:
        of_level = multiscale["datasets"][0]["coordinateTransformations"]
        for transform in (*of_level, *(multiscale.get("coordinateTransformations") or ())):
            kind = transform["type"]
            if kind not in ("scale", "translation", "identity"):
                raise ValueError(f"a transformation of type {kind!r}")
            if kind == "identity":
                continue
            numbers = np.asarray(transform[kind], dtype=np.float64)
            if numbers.shape != (len(names),) or not np.isfinite(numbers).all():
                raise ValueError(f"a {kind} of {transform[kind]}")
            if kind == "scale":
                scale, origin = scale * numbers[-3:], origin * numbers[-3:]
            else:
                origin = origin + numbers[-3:]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _refused(
            path,
            f"no place in space ({error})",
            "The first level has a scale, and perhaps a translation, with one number an axis.",
        ) from error
    factors = np.array([_MILLIMETRES[unit] for unit in units])
    (dz, dy, dx), (z, y, x) = (scale * factors).tolist(), (origin * factors).tolist()
    affine = affine_of((dz, dy, dx), (x, y, z))
    check_affine(affine, path)
    return affine


def _refused(path: Path, found: str, expected: str | None = None) -> VolumeError:
    return VolumeError(
        path,
        found,
        expected or "The folder is an OME-Zarr image, NGFF 0.4 or 0.5: multiscales with one array.",
        "Name the folder of one image (a bioformats2raw folder has them in 0, 1, …), or convert "
        "the scan to .nii.gz.",
    )
