"""The scans that a user points at: files and folders → named scans, channels put together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from volunet.errors import DatasetError, VolumeError
from volunet.volumes import Volume, check_same_grid, read_volume
from volunet.volumes.read import READERS


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
    first, *others = (read_volume(file, allow_channels=in_one_file) for file in scan.files)
    if not others:
        return first
    for file, other in zip(scan.files[1:], others, strict=True):
        check_same_grid(first.grid, other.grid, file, names=("first channel", "this channel"))
    return first.with_array(np.concatenate([first.array, *(other.array for other in others)]))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise VolumeError(path, "no such file or folder", "Scans to predict.", "Check the path.")
    found = sorted(
        file
        for file in path.iterdir()
        if file.is_file()
        and not file.name.startswith(".")
        and file.name.lower().endswith(tuple(READERS))
    )
    if not found:
        raise DatasetError(
            path,
            "no scan in this folder",
            f"Files that end in {', '.join(READERS)}.",
            "Check the path; folders below it are not searched.",
        )
    return found


def _stem(file: Path) -> str:
    name = file.name
    ending = max((e for e in READERS if name.lower().endswith(e)), key=len, default="")
    return name[: len(name) - len(ending)]
