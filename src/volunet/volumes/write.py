"""Write a `Volume` to a file, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from volunet.errors import OutputError
from volunet.volumes.atomic import atomic_path
from volunet.volumes.dtypes import storable
from volunet.volumes.itk import write_itk
from volunet.volumes.nifti import write_nifti
from volunet.volumes.volume import Volume

WRITERS: Final[dict[str, Callable[[Volume, Path], None]]] = {
    ".nii.gz": write_nifti,
    ".nii": write_nifti,
    ".nrrd": write_itk,
    ".mha": write_itk,
}
"""Function that writes each kind of file; a new format is one line here."""


def write_volume(volume: Volume, path: str | Path, overwrite: bool = False) -> Path:
    """Write a volume under its final name only when all of it is on the disk.

    Voxels keep their type and values: integers are never scaled. bool becomes uint8, float16
    float32, and integers of 64 bits the smallest type that holds them (see
    `volunet.volumes.dtypes`). The affine is kept as exactly as the format can say it: NIfTI holds
    float32 (7 digits), NRRD and MHA all digits.

    Args:
        volume: Scan, label map or map of probabilities; channels go last in NIfTI.
        path: Ends in ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``; missing folders are made.
        overwrite: Replace an existing file.

    Returns:
        The path.

    Raises:
        OutputError: The file exists, its ending is not known, or the disk is full.
        VolumeError: Numbers of a type that the file cannot hold.
    """
    path = Path(path)
    name = path.name.lower()
    ending = next((ending for ending in WRITERS if name.endswith(ending)), None)
    if ending is None:
        raise OutputError(
            path,
            f"the ending {path.suffix or '(none)'!r} is not known",
            f"Volumes are written as {', '.join(WRITERS)}.",
            "Give the file one of these endings.",
        )
    if path.exists() and not overwrite:
        raise OutputError(
            path,
            "the file exists",
            "Existing files are kept.",
            "Give another name, or allow overwriting.",
        )
    stored = volume.with_array(storable(volume.array, path))
    with atomic_path(path, stored.array.nbytes) as place:
        WRITERS[ending](stored, place)
    return path
