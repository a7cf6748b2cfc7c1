"""A label map on the model's grid as class indices, with voxels of each class to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.plan import Plan
from volunet.tasks.segmentation.label_values import to_class_indices
from volunet.tasks.segmentation.plan import segmentation_of
from volunet.tasks.target import PreparedTarget
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
