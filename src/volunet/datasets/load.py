"""Read one case: its channels as one volume, its label map, and the map as class indices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from volunet.datasets.cases import Case, DataSet
from volunet.errors import VolumeError
from volunet.volumes import Volume, check_same_grid, read_volume

TOLERANCE: Final = 1e-3
"""How far a label value may be from a whole number: float files hold 3.00000006 for 3."""

_PIECE: Final = 1 << 20

_MANY_VALUES: Final = 50
"""More undeclared values than this are those of an image, not of forgotten classes."""


def read_case(case: Case, dataset: DataSet) -> tuple[Volume, Volume | None]:
    """Read a case's images and its label map, as they are on disk.

    Args:
        case: The case.
        dataset: The data set that it belongs to, which says how many channels there are.

    Returns:
        The image, (C, D, H, W) float32, and the label map, (1, D, H, W) with the file's own values
        (see `to_class_indices`), or None where the case has none.

    Raises:
        VolumeError: A file cannot be read, the channels are not as many as declared, or the files
            do not share one grid.
    """
    image = read_images(case, dataset)
    if case.label is None:
        return image, None
    label = read_volume(case.label)
    check_same_grid(image.grid, label.grid, case.label)
    return image, label


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


def to_class_indices(
    label_array: NDArray[Any], label_values: Sequence[int], where: str | Path = "label map"
) -> NDArray[np.uint8]:
    """Replace label values by class indices.

    Args:
        label_array: Label values, any shape.
        label_values: The value of each class; class k has `label_values[k]`. At most 256.
        where: The file that they came from, for the message.

    Returns:
        Class indices, the same shape.

    Raises:
        VolumeError: A value is further than `TOLERANCE` from every declared one.

    Example:
        >>> to_class_indices(np.array([0.0, 4.0000001, 2.0]), (0, 2, 4)).tolist()
        [0, 2, 1]
    """
    order = np.argsort(label_values)
    ascending = np.asarray(label_values)[order]
    flat = label_array.reshape(-1)
    indices = np.empty(flat.shape, np.uint8)
    # Piece by piece: the positions are 8 bytes a voxel, eight times the answer.
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE]
        whole = np.rint(piece) if piece.dtype.kind == "f" else piece
        position = np.minimum(np.searchsorted(ascending, whole), len(ascending) - 1)
        # Written so that NaN, which compares false with everything, counts as undeclared.
        declared = (ascending[position] == whole) & is_whole(piece)
        if not declared.all():
            raise _undeclared(flat, label_values, where)
        indices[start : start + _PIECE] = order[position]
    return indices.reshape(label_array.shape)


def is_whole(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are whole numbers, give or take `TOLERANCE`; NaN and infinity are not."""
    if array.dtype.kind != "f":
        return np.ones(array.shape, np.bool_)
    with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN, which fails the comparison as it should
        return np.asarray(np.abs(array - np.rint(array)) <= TOLERANCE)


def _undeclared(flat: NDArray[Any], label_values: Sequence[int], where: str | Path) -> VolumeError:
    values = np.unique(flat)
    strange = values[~(np.isin(np.rint(values), label_values) & is_whole(values))]
    if len(strange) > _MANY_VALUES:
        found = f"{len(values):,} distinct values: looks like an image"
        do = "Give the label map that belongs to the image."
    else:
        found = "the undeclared values " + ", ".join(f"{value:g}" for value in strange)
        do = "Add them to the data set's labels, or mend the label map."
    return VolumeError(
        where,
        found,
        f"The data set declares {', '.join(map(str, label_values))} (tolerance {TOLERANCE:g}).",
        do,
    )
