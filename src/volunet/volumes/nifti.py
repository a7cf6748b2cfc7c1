"""NIfTI files ↔ `Volume`.

nibabel reads the header; the voxels are read here, in one pass straight into the array and then
on to the end of the file, because neither nibabel nor SimpleITK tells of every damaged gzip stream.
"""

from __future__ import annotations

import gzip
import math
import zlib
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
        header = _header(stream, path)
        affine, dtype = _affine(header, path), _dtype(header, path)
        size = _size(header, path, allow_channels)
        expected = math.prod(size) * dtype.itemsize
        held = path.stat().st_size
        if expected > held * LARGEST_EXPANSION:
            raise _damaged(path, "the file ends early", held, expected)
        array = np.empty(math.prod(size), dtype)
        outcome = fill(stream, int(header.get_data_offset()), array.view(np.uint8).data)
        if outcome.fault is None:
            rest = drain(stream)
            outcome = outcome._replace(fault=rest.fault)
        if outcome.fault is not None:
            raise _damaged(path, outcome.fault, outcome.num_bytes, expected)
    array = from_nifti_order(array.reshape(size, order="F"))
    return Volume(_scaled(array, *header.get_slope_inter()), affine, path)


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
    if max(volume.array.shape) > np.iinfo(np.int16).max:
        raise VolumeError(
            path,
            f"an array of shape {volume.array.shape}",
            "An axis of a NIfTI file is at most 32767 long.",
            "Write .nrrd or .mha instead.",
        )
    image = nibabel.Nifti1Image(to_nifti_order(volume.array), volume.affine)
    image.set_data_dtype(volume.array.dtype)
    image.set_sform(volume.affine, code=_SCANNER)
    image.set_qform(volume.affine, code=_SCANNER)
    image.header.set_xyzt_units("mm")
    image.to_filename(path)


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


def _scaled(array: NDArray[Any], slope: float | None, inter: float | None) -> NDArray[Any]:
    native = array.dtype.newbyteorder("=")
    factor = 1.0 if slope is None else float(slope)
    shift = 0.0 if inter is None else float(inter)
    if (factor, shift) == (1.0, 0.0):
        return array.astype(native, copy=False)
    narrow = array.dtype.itemsize <= 2 or array.dtype == np.float32
    scaled = np.empty(array.shape, np.float32 if narrow else np.float64)
    for channel, target in zip(array, scaled, strict=True):
        for plane, row in zip(channel, target, strict=True):  # in float64, a slice at a time
            row[...] = plane * np.float64(factor) + shift
    return scaled


def _damaged(path: Path, fault: str, num_bytes: int, expected: int) -> VolumeError:
    found = fault if num_bytes >= expected else f"{fault}: {share_of(num_bytes, expected)}"
    return VolumeError(
        path,
        found,
        f"Its header promises {expected:,} bytes of voxels in an unbroken stream.",
        "Copy or download the file again.",
    )
