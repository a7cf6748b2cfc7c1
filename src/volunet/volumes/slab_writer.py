"""Write a volume plane by plane, never the whole of it; the file appears when all planes are there.

What `write_volume` writes, within a bounded memory: beside the slab given, 64 MB of blocks on
their way to the disk.
"""

from __future__ import annotations

import gzip
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from volunet.errors import OutputError, ShapeError, VolumeError
from volunet.volumes.atomic import atomic_folder, atomic_path
from volunet.volumes.disk import check_room, is_full, unwritable
from volunet.volumes.dtypes import storable
from volunet.volumes.grid import Grid
from volunet.volumes.nifti import VOXELS_AT, nifti_header
from volunet.volumes.raw import RawFile, blocks, check_planes, open_to_fill
from volunet.volumes.volume import Volume

SLAB_ENDINGS: Final = (".nii.gz", ".nii", ".zarr")
"""Endings of what `open_slab_writer` writes."""

_GZIP_LEVEL = 1
"""nibabel's, and so `write_volume`'s."""


class SlabWriter:
    """Takes the planes of a volume in any order; made by `open_slab_writer`.

    Args:
        path: The final name, for messages.
        raw: Where the planes go.
        file: Descriptor of that file.
    """

    def __init__(self, path: Path, raw: RawFile, file: int) -> None:
        self._path = path
        self._raw = raw
        self._file = file
        self._written = np.zeros(raw.shape[raw.axis], dtype=np.bool_)

    def write(self, start: int, block: NDArray[Any]) -> None:
        """Write some planes.

        Args:
            start: Plane of the writer's axis at which they begin.
            block: (C, D, H, W), of the writer's type; whole but in the writer's axis.

        Raises:
            ShapeError: A block of another shape or type, or beyond the volume.
            OutputError: The disk is full.
        """
        raw = self._raw
        count = block.shape[1 + raw.axis] if block.ndim == 4 else 0
        wanted = [count if axis == raw.axis else size for axis, size in enumerate(raw.shape)]
        if block.shape != (raw.num_channels, *wanted) or block.dtype != raw.dtype:
            raise ShapeError(
                self._path,
                f"planes of shape {block.shape}, {block.dtype.name}",
                f"Planes along axis {raw.axis} of ({raw.num_channels}, "
                f"{', '.join(map(str, raw.shape))}) voxels, {raw.dtype.name}.",
                "Give (C, D, H, W) blocks, whole in the other axes, of the type announced.",
            )
        stop = start + count
        check_planes(self._path, raw.shape, raw.axis, start, stop)
        try:
            for channel, voxels in enumerate(block):
                for box in blocks(raw.shape, raw.axis, start, stop, raw.dtype.itemsize):
                    part = list(box)
                    part[raw.axis] = slice(box[raw.axis].start - start, box[raw.axis].stop - start)
                    raw.write(self._file, channel, box, voxels[tuple(part)])
        except OSError as error:
            if is_full(error):
                raise unwritable(self._path, error, raw.num_bytes) from error
            raise
        self._written[start:stop] = True

    def check_complete(self) -> None:
        """Refuse a volume of which planes were never written.

        Raises:
            OutputError: Some were not.
        """
        missing = np.flatnonzero(~self._written)
        if missing.size:
            raise OutputError(
                self._path,
                f"{missing.size} of {self._written.size} planes along axis {self._raw.axis} were "
                f"never written, the first is {missing[0]}",
                "Every plane is written before the file appears.",
                "This is a fault of the program that wrote them: please report it.",
            )


@contextmanager
def open_slab_writer(
    path: str | Path, grid: Grid, dtype: np.dtype[Any] | type, axis: int, scratch: Path
) -> Iterator[SlabWriter]:
    """Write a volume in slabs along one axis.

    The file holds what `write_volume` would have written: the same header, the same voxels. Along
    D a plain ``.nii`` is written in place; everything else is gathered in the scratch folder and
    put into its order, packed, at the end. OME-Zarr is NGFF 0.5 (zarr 3), in mm, RAS+.

    Args:
        path: Ends in ``.nii``, ``.nii.gz`` or ``.zarr``; missing folders are made.
        grid: Size, channels and place.
        dtype: Type of the voxels: one that `storable` leaves alone.
        axis: Array axis 0, 1, 2 for D, H, W along which slabs come.
        scratch: An existing folder (`scratch_folder`).

    Yields:
        Takes the planes, each at least once.

    Raises:
        OutputError: The file exists, its ending is not known, the disk is or would be full, or
            planes were never written.
        VolumeError: A type or a grid that the format cannot hold.
    """
    path, dtype = Path(path), np.dtype(dtype).newbyteorder("=")
    ending = _ending(path)
    if storable(np.zeros(1, dtype), path).dtype != dtype:
        raise VolumeError(
            path,
            f"planes of {dtype.name}",
            "Volumes are written in slabs as integers of up to 32 bits, float32 or float64.",
            "Convert every block to one of these types first.",
        )
    raw = RawFile(
        scratch / f"{secrets.token_hex(8)}.raw", grid.shape, grid.num_channels, dtype, axis
    )
    if ending == ".zarr":
        writing = _zarr(path, grid, raw)
    else:
        head = nifti_header(grid, dtype, path).binaryblock
        head += bytes(VOXELS_AT - len(head))  # no extensions
        in_place = ending == ".nii" and axis == 0
        writing = _nifti_in_place(path, raw, head) if in_place else _nifti(path, raw, head)
    with writing as writer:
        yield writer


def write_slabs(volume: Volume, path: Path, scratch: Path) -> None:
    """Write a whole volume as `open_slab_writer` does, which also writes OME-Zarr.

    Args:
        volume: The volume.
        path: The file or folder, which must not exist.
        scratch: A folder for what is in between.

    Raises:
        OutputError: The disk is full.
    """
    with open_slab_writer(path, volume.grid, volume.array.dtype, 0, scratch) as writer:
        writer.write(0, volume.array)


@contextmanager
def _nifti_in_place(path: Path, raw: RawFile, head: bytes) -> Iterator[SlabWriter]:
    with atomic_path(path, raw.num_bytes) as place:
        check_room(path.parent, raw.num_bytes)
        place.write_bytes(head)
        there = RawFile(place, raw.shape, raw.num_channels, raw.dtype, raw.axis, VOXELS_AT)
        with _gathered(path, there) as writer:
            yield writer


@contextmanager
def _nifti(path: Path, raw: RawFile, head: bytes) -> Iterator[SlabWriter]:
    packed = path.name.lower().endswith(".gz")
    with atomic_path(path, raw.num_bytes) as place:
        _check_both(path.parent, raw, 0 if packed else raw.num_bytes)
        try:
            with _gathered(path, raw) as writer:
                yield writer
            with place.open("wb") as file:
                if packed:  # name and time as nibabel leaves them: the bytes depend on nothing else
                    with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as sink:
                        _stream(raw, head, sink)
                else:
                    _stream(raw, head, file)
        finally:
            raw.path.unlink(missing_ok=True)


@contextmanager
def _zarr(path: Path, grid: Grid, raw: RawFile) -> Iterator[SlabWriter]:
    from volunet.volumes.ome_zarr import check_upright, write_ome_zarr  # zarr takes 0.4 s to import

    check_upright(grid, path)
    with atomic_folder(path, raw.num_bytes) as place:
        _check_both(path.parent, raw, 0)
        try:
            with _gathered(path, raw) as writer:
                yield writer
            write_ome_zarr(place, raw, grid)
        finally:
            raw.path.unlink(missing_ok=True)


@contextmanager
def _gathered(path: Path, raw: RawFile) -> Iterator[SlabWriter]:
    with open_to_fill(raw, path) as file:
        writer = SlabWriter(path, raw, file)
        yield writer
        writer.check_complete()


def _stream(raw: RawFile, head: bytes, sink: IO[bytes] | gzip.GzipFile) -> None:
    """Write a NIfTI file from its begin to its end: C, D, H, W with W fastest."""
    sink.write(head)
    with raw.path.open("rb", buffering=0) as file:
        for channel in range(raw.num_channels):
            for box in blocks(raw.shape, 0, 0, raw.shape[0], raw.dtype.itemsize):
                block = np.ascontiguousarray(raw.read(file.fileno(), channel, box))
                sink.write(block.reshape(-1).view(np.uint8).data)


def _check_both(folder: Path, raw: RawFile, final_bytes: int) -> None:
    """Room for the scratch file and, where its size is known before, for the final one."""
    scratch = raw.path.parent
    if scratch.stat().st_dev == folder.stat().st_dev:
        check_room(scratch, raw.num_bytes + final_bytes)
    else:
        check_room(scratch, raw.num_bytes)
        check_room(folder, final_bytes)


def _ending(path: Path) -> str:
    ending = next((ending for ending in SLAB_ENDINGS if path.name.lower().endswith(ending)), None)
    if ending is None:
        raise OutputError(
            path,
            f"the ending {path.suffix or '(none)'!r} is not known",
            f"Volumes are written in slabs as {', '.join(SLAB_ENDINGS)}.",
            "Give the file one of these endings.",
        )
    if path.exists():
        raise OutputError(path, "the file exists", "Existing files are kept.", "Give another name.")
    return ending
