"""Read a scan plane by plane, never the whole of it.

What `read_volume` gives, in slabs along any one axis and within a bounded memory: beside the slab
asked for, 64 MB of blocks on their way (for OME-Zarr, two of its chunks).
"""

from __future__ import annotations

import gzip
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from volunet.errors import VolumeError
from volunet.volumes.disk import check_room
from volunet.volumes.grid import Grid
from volunet.volumes.nifti import NiftiLayout, read_layout, scaled, scaled_dtype
from volunet.volumes.raw import Box, RawFile, blocks, check_planes, open_to_fill
from volunet.volumes.read import read_grid, read_volume
from volunet.volumes.streams import drain, fill, open_maybe_gzip

_NIFTI = (".nii", ".nii.gz")


class SlabReader(Protocol):
    """A scan of which any planes can be read."""

    @property
    def path(self) -> Path:
        """The scan's own file or folder, for messages."""

    @property
    def grid(self) -> Grid:
        """Size, channels and place of the whole scan."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values that `read` gives, in native byte order."""

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Read planes [start, stop) of one axis.

        Args:
            axis: Array axis 0, 1, 2 for D, H, W; fast for the one that the reader was opened for.
            start: First plane.
            stop: One past the last plane.

        Returns:
            C-contiguous (C, D', H', W'), the values and type that `read_volume` gives.

        Raises:
            ShapeError: No planes, or planes beyond the volume.
            VolumeError: The file changed or was damaged since it was opened.
        """


@dataclass(frozen=True, eq=False)
class RawSlabs:
    """A `SlabReader` of uncompressed voxels; every read opens the file anew, so threads may share.

    Args:
        path: The scan's own file.
        grid: Size, channels and place.
        raw: Where the voxels are: the file itself, or one in the scratch folder.
        slope: Factor of every value; None for none.
        inter: What is added to every value; None for nothing.
    """

    path: Path
    grid: Grid
    raw: RawFile
    slope: float | None = None
    inter: float | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values that `read` gives."""
        return scaled_dtype(self.raw.dtype, self.slope, self.inter)

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Read planes [start, stop) of one axis: see `SlabReader`."""
        shape, slow = self.grid.shape, self.raw.axis
        check_planes(self.path, shape, axis, start, stop)
        sizes = (stop - start if index == axis else size for index, size in enumerate(shape))
        values = np.empty((self.grid.num_channels, *sizes), self.dtype)
        first, last = (start, stop) if axis == slow else (0, shape[slow])
        itemsize = 8  # scaling goes through float64
        with self.raw.path.open("rb", buffering=0) as file:
            for channel, target in enumerate(values):
                for box in blocks(shape, slow, first, last, itemsize):
                    low, high = max(box[axis].start, start), min(box[axis].stop, stop)
                    if low >= high:
                        continue
                    try:
                        wanted = _replaced(box, axis, low, high)
                        block = self.raw.read(file.fileno(), channel, wanted)
                    except EOFError as error:
                        raise _changed(self.path) from error
                    place = _replaced(box, axis, low - start, high - start)
                    target[place] = scaled(block[np.newaxis], self.slope, self.inter)[0]
        return values


def open_slabs(
    path: str | Path,
    scratch: Path,
    axis: int,
    allow_channels: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SlabReader:
    """Check a scan and prepare it for fast reading along one axis.

    A plain ``.nii`` is read where it is along D. Along H or W, and out of gzip, its voxels are laid
    out anew once, in the scratch folder, to the very end of the file with its checksum. OME-Zarr
    is always read where it is; a chunk is unpacked once for every slab that touches it. NRRD and
    MetaImage files are read whole (SimpleITK knows no other way) and then laid out: only for them
    the volume must fit in memory once.

    Args:
        path: A file that `read_volume` reads, or a folder of OME-Zarr.
        scratch: An existing folder for voxels laid out anew; they stay there (`scratch_folder`).
        axis: Array axis 0, 1, 2 for D, H, W.
        allow_channels: See `read_volume`.
        progress: Called with the bytes laid out and their number.

    Raises:
        VolumeError: As `read_volume`.
        OutputError: The voxels do not fit in the scratch folder.
    """
    path = Path(path)
    if is_zarr(path):
        from volunet.volumes.ome_zarr import open_ome_zarr  # zarr takes 0.4 s to import

        return open_ome_zarr(path, allow_channels)
    read_grid(path)  # a file that is missing, empty or of an unknown kind: as read_volume says it
    if path.name.lower().endswith(_NIFTI):
        return _open_nifti(path, scratch, axis, allow_channels, progress)
    return _open_whole(path, scratch, axis, allow_channels, progress)


def is_zarr(path: Path) -> bool:
    """Whether a path is a folder of zarr, by its ending or by what lies in it."""
    marks = ("zarr.json", ".zgroup", ".zarray")
    return path.is_dir() and (
        path.name.lower().endswith(".zarr") or any((path / mark).is_file() for mark in marks)
    )


def _replaced(box: Box, axis: int, start: int, stop: int) -> Box:
    a, b, c = (slice(start, stop) if index == axis else part for index, part in enumerate(box))
    return a, b, c


def _open_nifti(
    path: Path,
    scratch: Path,
    axis: int,
    allow_channels: bool,
    progress: Callable[[int, int], None] | None,
) -> RawSlabs:
    with open_maybe_gzip(path) as stream:
        layout = read_layout(stream, path, allow_channels)
        grid = layout.grid
        if not isinstance(stream, gzip.GzipFile):
            held = path.stat().st_size - layout.offset
            if held < layout.num_bytes:
                raise layout.damaged("the file ends early", max(held, 0))
            if axis == 0:
                raw = RawFile(path, grid.shape, grid.num_channels, layout.dtype, 0, layout.offset)
                return RawSlabs(path, grid, raw, layout.slope, layout.inter)
        raw = _new_raw(scratch, grid, layout.dtype, axis)
        _lay_out(stream, layout, raw, progress)
    return RawSlabs(path, grid, raw, layout.slope, layout.inter)


def _lay_out(
    stream: BufferedIOBase,
    layout: NiftiLayout,
    raw: RawFile,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Read the voxels once, as they come, and put each block where it belongs."""
    done, grid = 0, layout.grid
    with open_to_fill(raw, raw.path.parent) as file:
        for channel in range(grid.num_channels):
            for box in blocks(grid.shape, 0, 0, grid.shape[0], layout.dtype.itemsize):
                block = np.empty([part.stop - part.start for part in box], layout.dtype)
                outcome = fill(stream, layout.offset + done, block.reshape(-1).view(np.uint8).data)
                done += outcome.num_bytes
                if outcome.fault is not None:
                    raise layout.damaged(outcome.fault, done)
                raw.write(file, channel, box, block)
                if progress is not None:
                    progress(done, layout.num_bytes)
        rest = drain(stream)
        if rest.fault is not None:
            raise layout.damaged(rest.fault, done)


def _open_whole(
    path: Path,
    scratch: Path,
    axis: int,
    allow_channels: bool,
    progress: Callable[[int, int], None] | None,
) -> RawSlabs:
    volume = read_volume(path, allow_channels)
    raw, done = _new_raw(scratch, volume.grid, volume.array.dtype, axis), 0
    with open_to_fill(raw, scratch) as file:
        for channel, voxels in enumerate(volume.array):
            for box in blocks(volume.shape, axis, 0, volume.shape[axis], raw.dtype.itemsize):
                block = voxels[box]
                raw.write(file, channel, box, block)
                done += block.nbytes
                if progress is not None:
                    progress(done, raw.num_bytes)
    return RawSlabs(path, volume.grid, raw)


def _new_raw(scratch: Path, grid: Grid, dtype: np.dtype[Any], axis: int) -> RawFile:
    place = scratch / f"{secrets.token_hex(8)}.raw"
    raw = RawFile(place, grid.shape, grid.num_channels, dtype, axis)
    check_room(scratch, raw.num_bytes)
    return raw


def _changed(path: Path) -> VolumeError:
    return VolumeError(
        path,
        "it became shorter while it was read",
        "A scan stays as it is until its prediction is written.",
        "Run again when nothing else writes to the file.",
    )
