"""A label map on the model's grid as class indices, with voxels of each class to look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from volunet.plan import Plan
from volunet.tasks.segmentation.label_values import to_class_indices
from volunet.tasks.segmentation.plan import segmentation_of
from volunet.tasks.target import Cut, PreparedTarget
from volunet.volumes import Volume, conform_labels

VOXELS_A_CLASS: Final = 2000
"""Voxels of each class that are kept as places to centre a patch on."""


def make_target(plan: Plan) -> SegmentationTarget:
    """See `volunet.tasks.target.target_of`."""
    return SegmentationTarget(plan)


class SegmentationTarget:
    """Class indices (D, H, W), uint8; the kind of a place is its class.

    Implements `volunet.tasks.target.Target`, which documents the methods.

    Args:
        plan: The plan of a segmentation.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._values = segmentation_of(plan).label_values

    def prepare(self, label: Volume, where: str | Path) -> PreparedTarget:
        """Resampled class by class; places are foreground."""
        plan = self._plan
        classes = label.with_array(to_class_indices(label.array, self._values, where))
        on_grid = conform_labels(classes, plan.orientation, plan.spacing_mm)
        indices = on_grid.array[0].astype(np.uint8)
        return PreparedTarget(indices, sample_voxels(indices, len(self._values)))

    def cut(self, array: NDArray[Any], cut: Cut) -> Tensor:
        """See `cut_labels`."""
        return cut_labels(array, cut)

    def transformed(self, patch: Tensor) -> dict[str, Tensor]:
        """A segmentation, of whose interpolated class shares the largest wins."""
        return {"segmentation": patch.to(torch.int16)}

    def moved(self, patch: Tensor, answer: Mapping[str, Tensor]) -> Tensor:
        """int64 again, as losses take it."""
        return answer["segmentation"].long()


def cut_labels(array: NDArray[Any], cut: Cut) -> Tensor:
    """A patch of class indices, (1, D, H, W), int64; outside the case is background.

    Args:
        array: Class indices of the case, (D, H, W).
        cut: Where the patch lies.
    """
    padded = np.pad(array[cut.inside], cut.widths)
    return torch.from_numpy(padded[np.newaxis].astype(np.int64))


def sample_voxels(label: NDArray[np.uint8], num_classes: int) -> NDArray[np.int32]:
    """Choose up to `VOXELS_A_CLASS` voxels of each foreground class, evenly through the scan.

    Args:
        label: Class indices, (D, H, W).
        num_classes: Classes, the background included.

    Returns:
        (N, 4): class, then index along D, H, W.
    """
    rows = []
    for index in range(1, num_classes):
        where = np.flatnonzero(label == index)
        kept = where[:: max(1, -(-where.size // VOXELS_A_CLASS))]
        places = np.stack(np.unravel_index(kept, label.shape), axis=1)
        rows.append(np.insert(places, 0, index, axis=1))
    return np.concatenate(rows).astype(np.int32) if rows else np.zeros((0, 4), np.int32)
