"""NIfTI files ↔ `Volume`.

nibabel reads the header; the voxels are read here, in one pass straight into the array and then
on to the end of the file, because neither nibabel nor SimpleITK tells of every damaged gzip stream.
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from volunet.errors import VolumeError
from volunet.volumes.axes import Affine, from_nifti_order, to_nifti_order
from volunet.volumes.grid import Grid, check_affine
from volunet.volumes.streams import LARGEST_EXPANSION, drain, fill, open_maybe_gzip, share_of
from volunet.volumes.volume import Volume

_HEADERS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_SCANNER = 1
"""NIfTI's code for scanner coordinates, of sform and qform."""

VOXELS_AT = 352
"""Byte at which the voxels of a NIfTI-1 file without extensions begin."""


@dataclass(frozen=True, eq=False)
class NiftiLayout:
    """What a checked header says of the voxels: where they begin, their type and their place.

    Args:
        path: The file.
        size: Size (i, j, k, C), Fortran-ordered in the file.
        grid: Size, channels and place.
        dtype: Type in the file, in the file's byte order.
        offset: Byte of the (decompressed) file at which the voxels begin.
        slope: Factor of every value; None for none.
        inter: What is added to every value; None for nothing.
    """

    path: Path
    size: tuple[int, int, int, int]
    grid: Grid
    dtype: np.dtype[Any]
    offset: int
    slope: float | None
    inter: float | None

    @property
    def num_bytes(self) -> int:
        """Bytes of voxels."""
        return math.prod(self.size) * self.dtype.itemsize

    def damaged(self, fault: str, num_bytes: int) -> VolumeError:
        """The error of a file that gives only some of the bytes that its header promises."""
        short = num_bytes < self.num_bytes
        return VolumeError(
            self.path,
            f"{fault}: {share_of(num_bytes, self.num_bytes)}" if short else fault,
            f"Its header promises {self.num_bytes:,} bytes of voxels in an unbroken stream.",
            "Copy or download the file again.",
        )


def read_nifti(path: Path, allow_channels: bool) -> Volume:
    """Read a NIfTI file, plain or gzip, whatever its name says.

    Integers stay as they are where the header asks for no scaling. With scaling, 8 and 16 bit
    integers and float32 become float32, wider types float64.

    Args:
        path: The file.
        allow_channels: Take a fourth axis longer than 1 as channels.

    Raises:
        VolumeError: The file is damaged, cut off, not a NIfTI file, has a fourth axis that was
            not allowed, or holds colours or complex numbers.
    """
    with open_maybe_gzip(path) as stream:
        layout = read_layout(stream, path, allow_channels)
        array = from_nifti_order(np.empty(layout.size, layout.dtype, order="F"))
        outcome = fill(stream, layout.offset, array.reshape(-1).view(np.uint8).data)
        if outcome.fault is None:
            rest = drain(stream)
            outcome = outcome._replace(fault=rest.fault)
        if outcome.fault is not None:
            raise layout.damaged(outcome.fault, outcome.num_bytes)
    return Volume(scaled(array, layout.slope, layout.inter), layout.grid.affine, path)


def read_layout(stream: BufferedIOBase, path: Path, allow_channels: bool) -> NiftiLayout:
    """Read and check the header at the begin of a decompressed stream.

    Raises:
        VolumeError: As `read_nifti`; the voxels themselves are not read, but a file that is too
            small for them, however well it were packed, is refused.
    """
    header = _header(stream, path)
    affine, dtype = _affine(header, path), _dtype(header, path)
    size = _size(header, path, allow_channels)
    i, j, k, channels = size
    grid, offset = Grid((k, j, i), affine, channels), int(header.get_data_offset())
    layout = NiftiLayout(path, size, grid, dtype, offset, *_scaling(header, path))
    held = path.stat().st_size
    if layout.num_bytes > held * LARGEST_EXPANSION:
        raise layout.damaged("the file ends early", held)
    return layout


def read_nifti_grid(path: Path) -> Grid:
    """Read size and place from the header only.

    Raises:
        VolumeError: The header is damaged, or not one of NIfTI.
    """
    with open_maybe_gzip(path) as stream:
        header = _header(stream, path)
    i, j, k, channels = _size(header, path, allow_channels=True)
    return Grid((k, j, i), _affine(header, path), channels)


def write_nifti(volume: Volume, path: Path) -> None:
    """Write a NIfTI file: sform and qform are the affine, in scanner coordinates, units mm.

    Args:
        volume: Voxels of a type that NIfTI has (see `volunet.volumes.dtypes`).
        path: The file; it ends in ``.nii`` or ``.nii.gz``.

    Raises:
        VolumeError: An axis is longer than 32767, which NIfTI-1 cannot say.
    """
    header = nifti_header(volume.grid, volume.array.dtype, path)
    image = nibabel.Nifti1Image(to_nifti_order(volume.array), header.get_best_affine(), header)
    image.to_filename(path)


def nifti_header(grid: Grid, dtype: np.dtype[Any], path: Path) -> Any:
    """Header of a NIfTI-1 file without scaling: sform and qform are the affine, units mm.

    Args:
        grid: Size, channels and place.
        dtype: A type that NIfTI has (see `volunet.volumes.dtypes`).
        path: The file, for the message.

    Returns:
        nibabel's header; its `binaryblock` begins the file, the voxels follow at byte 352.

    Raises:
        VolumeError: An axis is longer than 32767, which NIfTI-1 cannot say.
    """
    shape = (grid.num_channels, *grid.shape)
    if max(shape) > np.iinfo(np.int16).max:
        raise VolumeError(
            path,
            f"an array of shape {shape}",
            "An axis of a NIfTI file is at most 32767 long.",
            "Write .nrrd or .mha instead.",
        )
    header = nibabel.Nifti1Header()
    header.set_data_shape(to_nifti_order(np.broadcast_to(np.uint8(0), shape)).shape)
    header.set_data_dtype(dtype)
    header.set_sform(grid.affine, code=_SCANNER)
    header.set_qform(grid.affine, code=_SCANNER)
    header.set_xyzt_units("mm")
    header.set_slope_inter(1.0, 0.0)
    header.set_data_offset(VOXELS_AT)
    return header


def scaled_dtype(dtype: np.dtype[Any], slope: float | None, inter: float | None) -> np.dtype[Any]:
    """Type of a file's values once its header's scaling is applied, in native byte order."""
    if _is_identity(slope, inter):
        return dtype.newbyteorder("=")
    narrow = dtype.itemsize <= 2 or (dtype.kind, dtype.itemsize) == ("f", 4)
    return np.dtype(np.float32 if narrow else np.float64)


def scaled(array: NDArray[Any], slope: float | None, inter: float | None) -> NDArray[Any]:
    """Apply a header's scaling to (C, D, H, W) voxels; the same array where there is nothing to do.

    Beside the two arrays it holds one (H, W) plane in float64.
    """
    dtype = scaled_dtype(array.dtype, slope, inter)
    if _is_identity(slope, inter):
        return array.astype(dtype, copy=False)
    values = np.empty(array.shape, dtype)
    factor, shift = np.float64(1.0 if slope is None else slope), float(inter or 0.0)
    for channel, target in zip(array, values, strict=True):
        for plane, row in zip(channel, target, strict=True):  # in float64, a slice at a time
            row[...] = plane * factor + shift
    return values


def _is_identity(slope: float | None, inter: float | None) -> bool:
    return slope in (None, 1.0) and inter in (None, 0.0)


def _header(stream: BufferedIOBase, path: Path) -> Any:
    cause: Exception | None = None
    try:
        start = stream.read(4)
        stream.seek(0)
        sizes = {int.from_bytes(start, "little"), int.from_bytes(start, "big")}
        known = sizes & _HEADERS.keys()
        if known:
            header = _HEADERS[known.pop()].from_fileobj(stream)
            if header.get_data_offset() >= header.sizeof_hdr:
                return header
            found = "the header of a .hdr and .img pair, without the voxels"
        else:
            found = f"no NIfTI header: it begins with the bytes {start.hex(' ') or '(none)'}"
    except (HeaderDataError, WrapStructError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        found, cause = f"a damaged NIfTI header ({error})", error
    raise VolumeError(
        path,
        found,
        "A .nii or .nii.gz file begins with a NIfTI-1 or NIfTI-2 header.",
        "Copy or download the file again; if it is of another format, give it that ending.",
    ) from cause


def _affine(header: Any, path: Path) -> Affine:
    try:
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    except (HeaderDataError, ValueError) as error:
        raise VolumeError(
            path,
            f"a qform that is no rotation ({error})",
            "The header must place every voxel in millimetres.",
            "Convert the scan anew from its source, or repair sform and qform.",
        ) from error
    check_affine(affine, path)
    return affine


def _dtype(header: Any, path: Path) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError) as error:
        raise VolumeError(
            path,
            f"voxels of an unknown type ({error})",
            "Voxels are integers or floats of up to 64 bits.",
            "Copy or download the file again.",
        ) from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        kind = "colours (RGB)" if dtype.fields else f"{dtype.name} numbers"
        raise VolumeError(
            path,
            f"its voxels are {kind}",
            "Voxels are integers or floats of up to 64 bits, one value a voxel.",
            "Save one value a voxel: a grey scale, or the magnitude.",
        )
    return dtype


def _scaling(header: Any, path: Path) -> tuple[float | None, float | None]:
    try:
        slope, inter = header.get_slope_inter()
    except HeaderDataError as error:
        raise VolumeError(
            path,
            f"a scaling of its values that is no number ({error})",
            "scl_slope and scl_inter are finite.",
            "Convert the scan anew from its source, or repair the two fields.",
        ) from error
    return slope, inter


def _size(header: Any, path: Path, allow_channels: bool) -> tuple[int, int, int, int]:
    """Size (i, j, k, C); axes of length 1 past the third are left out."""
    shape = tuple(int(length) for length in header.get_data_shape())
    i, j, k = (*shape, 1, 1, 1)[:3] if shape else (0, 0, 0)
    more = [length for length in shape[3:] if length != 1]
    if min((i, j, k, *more)) < 1:
        raise VolumeError(
            path,
            f"size {' × '.join(map(str, shape)) or 'missing'} in the header",
            "Every axis is at least 1 long.",
            "Copy or download the file again.",
        )
    if len(more) > 1 or (more and not allow_channels):
        raise VolumeError(
            path,
            f"{len(more) + 3} axes ({'x, y, z, n' if len(more) == 1 else 'x, y, z and more'}): "
            f"{' × '.join(map(str, shape))}",
            "A volume has 3 axes; a fourth one is taken only where channels are.",
            "Split a time series with nibabel.four_to_three(nibabel.load(file)), or pass "
            "allow_channels=True where n counts channels.",
        )
    return i, j, k, more[0] if more else 1
