"""The values of a label map as class indices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from volunet.errors import VolumeError

TOLERANCE: Final = 1e-3
"""How far a label value may be from a whole number: float files hold 3.00000006 for 3."""

_PIECE: Final = 1 << 20

_MANY_VALUES: Final = 50
"""More undeclared values than this are those of an image, not of forgotten classes."""


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
