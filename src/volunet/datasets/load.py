"""Read one case: its channels as one volume, and its label."""

from __future__ import annotations

from typing import Any

import numpy as np

from volunet.datasets.cases import Case, DataSet
from volunet.errors import VolumeError
from volunet.volumes import Volume, check_same_grid, read_volume


def read_case(case: Case, dataset: DataSet) -> tuple[Volume, Any]:
    """Read a case's images and its label, as they are on disk.

    Args:
        case: The case.
        dataset: The data set that it belongs to, which says how many channels there are.

    Returns:
        The image, (C, D, H, W) float32, and the label as its task reads it, such as a label map
        (1, D, H, W) with the file's own values, or None where the case has none.

    Raises:
        VolumeError: A file cannot be read, the channels are not as many as declared, or the files
            do not share one grid.
    """
    image = read_images(case, dataset)
    if case.label is None:
        return image, None
    return image, dataset.annotations.read(case.label, image)


def read_images(case: Case, dataset: DataSet) -> Volume:
    """Read a case's channels, one file each or all in one file, as (C, D, H, W) float32.

    Raises:
        VolumeError: As `read_case`.
    """
    declared = len(dataset.channels)
    holds_all = len(case.images) == 1 and declared > 1
    first, *others = (read_volume(path, allow_channels=holds_all) for path in case.images)
    for path, volume, name in zip(case.images[1:], others, dataset.channels[1:], strict=False):
        check_same_grid(first.grid, volume.grid, path, names=("first channel", f"channel {name}"))
    array = np.concatenate([volume.array for volume in (first, *others)]).astype(
        np.float32, copy=False
    )
    if len(array) != declared:
        raise VolumeError(
            case.images[0],
            f"{len(array)} channels",
            f"The data set declares {declared}: {', '.join(dataset.channels)}.",
            "Correct the declared channels, or give an image that has them all.",
        )
    return first.with_array(array)
