"""The scans that a user points at: files and folders → named scans, channels put together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from volunet.errors import DatasetError, VolumeError
from volunet.volumes import Volume, check_same_grid, read_volume
from volunet.volumes.grid import Grid
from volunet.volumes.read import READERS, read_grid
from volunet.volumes.slabs import is_zarr, open_slabs


@dataclass(frozen=True)
class Scan:
    """A scan to predict.

    Attributes:
        name: The prediction is written under it.
        files: One file a channel, or one that holds them all.
    """

    name: str
    files: tuple[Path, ...]


def find_scans(paths: Sequence[str | Path], num_channels: int) -> list[Scan]:
    """Find the scans in files and folders.

    A file ``case_0000.nii.gz`` is channel 0 of ``case``, as nnU-Net names files, if every such
    number is below the number of channels; otherwise the number belongs to the name.

    Args:
        paths: Files, and folders whose files are taken.
        num_channels: Channels of the model.

    Returns:
        The scans, sorted by name.

    Raises:
        VolumeError: A path is missing.
        DatasetError: A folder has no scan in it, or two scans have one name.
    """
    files = [file for path in paths for file in _files(Path(path))]
    numbered = {file: re.fullmatch(r"(.+)_(\d{4})", _stem(file)) for file in files}
    by_channel = all(
        int(match[2]) < num_channels for match in numbered.values() if match is not None
    )
    groups: dict[str, list[tuple[int, Path]]] = {}
    for file, match in numbered.items():
        if match is not None and by_channel:
            groups.setdefault(match[1], []).append((int(match[2]), file))
        else:
            groups.setdefault(_stem(file), []).append((0, file))
    scans = []
    for name, members in sorted(groups.items()):
        numbers = [number for number, _ in members]
        if len(set(numbers)) < len(numbers):
            raise DatasetError(
                name,
                f"{len(members)} files of that name: {', '.join(str(f) for _, f in members)}",
                "Predictions are written under the scan's name, so that each must be unique.",
                "Rename one, or predict them into different folders.",
            )
        scans.append(Scan(name, tuple(file for _, file in sorted(members))))
    return scans


def read_scan(scan: Scan, num_channels: int) -> Volume:
    """Read a scan's channels as one volume.

    Args:
        scan: The scan.
        num_channels: Channels of the model.

    Returns:
        (C, D, H, W).

    Raises:
        VolumeError: A file cannot be read, or the channels are on different grids.
    """
    in_one_file = num_channels > 1 and len(scan.files) == 1
    first, *others = (_read(file, allow_channels=in_one_file) for file in scan.files)
    if not others:
        return first
    for file, other in zip(scan.files[1:], others, strict=True):
        check_same_grid(first.grid, other.grid, file, names=("first channel", "this channel"))
    return first.with_array(np.concatenate([first.array, *(other.array for other in others)]))


def read_scan_grid(scan: Scan) -> Grid:
    """Read a scan's size, channels and place from the headers of its files.

    Raises:
        VolumeError: A header is damaged, or the channels are on different grids.
    """
    first, *others = (_grid(file) for file in scan.files)
    for file, other in zip(scan.files[1:], others, strict=True):
        check_same_grid(first, other, file, names=("first channel", "this channel"))
    channels = sum(grid.num_channels for grid in (first, *others))
    return Grid(first.shape, first.affine, channels)


def _grid(file: Path) -> Grid:
    if is_zarr(file):
        return open_slabs(file, file, 0, allow_channels=True).grid
    return read_grid(file)


def _read(file: Path, *, allow_channels: bool) -> Volume:
    if not is_zarr(file):
        return read_volume(file, allow_channels=allow_channels)
    slabs = open_slabs(file, file, 0, allow_channels=allow_channels)
    return Volume(slabs.read(0, 0, slabs.grid.shape[0]), slabs.grid.affine, file)


def _files(path: Path) -> list[Path]:
    if path.is_file() or is_zarr(path):
        return [path]
    if not path.is_dir():
        raise VolumeError(path, "no such file or folder", "Scans to predict.", "Check the path.")
    found = sorted(
        file
        for file in path.iterdir()
        if not file.name.startswith(".")
        and (is_zarr(file) or (file.is_file() and file.name.lower().endswith(tuple(READERS))))
    )
    if not found:
        raise DatasetError(
            path,
            "no scan in this folder",
            f"Files that end in {', '.join(READERS)}, or folders of OME-Zarr.",
            "Check the path; folders below it are not searched.",
        )
    return found


def _stem(file: Path) -> str:
    name = file.name
    ending = max(
        (e for e in (*READERS, ".ome.zarr", ".zarr") if name.lower().endswith(e)),
        key=len,
        default="",
    )
    return name[: len(name) - len(ending)]
