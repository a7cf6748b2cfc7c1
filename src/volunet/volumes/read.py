"""Read one file into a `Volume`, or say plainly why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from volunet.errors import VolumeError
from volunet.volumes.grid import Grid
from volunet.volumes.itk import read_itk, read_itk_grid
from volunet.volumes.nifti import read_nifti, read_nifti_grid
from volunet.volumes.volume import Volume


class Reader(NamedTuple):
    """The two functions of a format.

    Attributes:
        volume: Reads everything; the flag allows channels.
        grid: Reads the header only.
    """

    volume: Callable[[Path, bool], Volume]
    grid: Callable[[Path], Grid]


_NIFTI: Final = Reader(read_nifti, read_nifti_grid)
_ITK: Final = Reader(read_itk, read_itk_grid)

READERS: Final[dict[str, Reader]] = {
    ".nii.gz": _NIFTI,
    ".nii": _NIFTI,
    ".nrrd": _ITK,
    ".nhdr": _ITK,
    ".mha": _ITK,
    ".mhd": _ITK,
}
"""Reader of each ending; a new format is one module and one line here."""


def read_volume(path: str | Path, allow_channels: bool = False) -> Volume:
    """Read a scan or a label map.

    The whole file is read to its end, checksums included. Values are not judged: see
    `check_finite`.

    Args:
        path: A file that ends as one of `READERS` does, in any case.
        allow_channels: Take a fourth axis (x, y, z, n), or several values a voxel, as channels.

    Returns:
        (C, D, H, W), in the file's own number type unless its header asks for scaling.

    Raises:
        VolumeError: The file is missing, empty, cut off, damaged, of an unknown kind, has a fourth
            axis that was not allowed, or no place in space.
    """
    path = Path(path)
    reader = _reader(path)
    try:
        return reader.volume(path, allow_channels)
    except OSError as error:
        raise _unreadable(path, error) from error


def read_grid(path: str | Path) -> Grid:
    """Read size, channels and place in space from a file's header only.

    Args:
        path: See `read_volume`.

    Raises:
        VolumeError: The file is missing, empty or of an unknown kind, or its header is damaged.
    """
    path = Path(path)
    reader = _reader(path)
    try:
        return reader.grid(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def check_finite(volume: Volume) -> None:
    """Refuse a volume with voxels that are no numbers.

    Raises:
        VolumeError: Some are NaN or infinite.
    """
    num_nan, num_infinite = count_not_finite(volume.array)
    refuse_not_finite(num_nan, num_infinite, volume.array.size, volume.source or "volume")


def count_not_finite(array: NDArray[Any]) -> tuple[int, int]:
    """Numbers of NaN and of infinite voxels of an array (C, D, H, W)."""
    if array.dtype.kind != "f":
        return 0, 0
    num_nan = sum(int(np.isnan(channel).sum()) for channel in array)
    return num_nan, sum(int(np.isinf(channel).sum()) for channel in array)


def refuse_not_finite(num_nan: int, num_infinite: int, num_voxels: int, where: str | Path) -> None:
    """Refuse a volume by the numbers of its voxels that are no numbers.

    Raises:
        VolumeError: One is not 0.
    """
    if num_nan or num_infinite:
        raise VolumeError(
            where,
            f"{num_nan:,} voxels are NaN and {num_infinite:,} infinite, of {num_voxels:,}",
            "Every voxel is a finite number.",
            "Give them the value of the background (CT: −1024), or remove the case.",
        )


def _reader(path: Path) -> Reader:
    if path.is_dir():
        raise VolumeError(
            path,
            "a folder",
            f"A volume is one file that ends in {', '.join(READERS)}.",
            "Name a file in it; convert a DICOM series to NIfTI first (dcm2niix).",
        )
    if not path.exists():
        raise VolumeError(
            path,
            "no such file",
            "The file exists and can be read.",
            f"Check the name; the folder {'exists' if path.parent.is_dir() else 'is missing too'}.",
        )
    name = path.name.lower()
    ending = next((ending for ending in READERS if name.endswith(ending)), None)
    if ending is None:
        raise VolumeError(
            path,
            f"the ending {''.join(path.suffixes[-1:]) or '(none)'!r} is not known",
            f"Volumes are read from {', '.join(READERS)}.",
            "Convert the file to one of these, or give it the ending of what it is.",
        )
    if path.stat().st_size == 0:
        raise VolumeError(
            path,
            "the file is empty",
            "It holds a header and voxels.",
            "Copy or download the file again.",
        )
    return READERS[ending]


def _unreadable(path: Path, error: OSError) -> VolumeError:
    return VolumeError(
        path,
        f"it cannot be read: {(error.strerror or str(error)).lower()}",
        "The file exists and can be read.",
        "Check its permissions and the disk, or copy it again.",
    )
