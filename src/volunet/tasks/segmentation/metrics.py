"""How well a label map agrees with its reference: overlap, surfaces and volume, class by class.

The arithmetic is MONAI's; here stand the rules around it that decide what a number means: which
voxels count, what an absent class scores, and in which unit. This module needs ``volunet[train]``;
import it late.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray

from volunet.errors import ConfigError, ShapeError

NOTE_ABSENT = "absent"
"""Note of a class that is neither in the prediction nor in the reference."""

NOTE_MISSED = "missed"
"""Note of a class that the reference has and the prediction has not."""

NOTE_SPURIOUS = "spurious"
"""Note of a class that the prediction has and the reference has not."""

_ROUNDING_MM = 1e-4
"""Added to the surface tolerance. A header's 32-bit spacing of 1.00000005 mm must not turn every
voxel at a distance of "1 mm" from right to wrong; no scanner is accurate to this length."""

_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class in one case.

    Attributes:
        label_value: The class's value in the label maps.
        dice: Dice coefficient, 0…1.
        surface_dice: Share of the surface voxels of both within the tolerance of the other's
            surface, 0…1.
        hd95_mm: The larger of the two directed 95th percentiles of surface distances, mm.
        volume_difference_ml: Volume of the prediction − volume of the reference, ml.
        note: Empty, or which of the two lacks the class: ``absent``, ``missed``, ``spurious``.
    """

    label_value: int
    dice: float
    surface_dice: float
    hd95_mm: float
    volume_difference_ml: float
    note: str = ""


def score_case(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    label_values: Sequence[int],
    spacing_mm: Sequence[float],
    surface_tolerance_mm: float = 1.0,
) -> list[ClassScore]:
    """Score a label map against its reference, class by class.

    A class that is missing from one or both label maps is scored by these rules:

    ==================  ====  ============  =======  ==========  ============
    the class is in     Dice  surface Dice  HD95     volume      note
    ==================  ====  ============  =======  ==========  ============
    both                0…1   0…1           finite   difference
    neither             NaN   NaN           NaN      NaN         ``absent``
    the reference only  0     0             inf      −reference  ``missed``
    the prediction only 0     0             inf      +prediction ``spurious``
    ==================  ====  ============  =======  ==========  ============

    So a class that is rightly not found counts for nothing, and one that is missed or invented
    counts as 0 in both Dice scores. No finite distance would be right for it: averages of HD95
    leave it out and must say how many they left out, as `Evaluation.summary` does.

    A surface voxel is one with a face neighbour outside its class or outside the scan. Both
    surface scores count these voxels alike, whatever area they stand for.

    Args:
        prediction: Label values, (D, H, W).
        reference: Label values on the same grid, (D, H, W).
        label_values: The classes to score; 0, the background, is left out.
        spacing_mm: Voxel spacing in mm, (D, H, W).
        surface_tolerance_mm: Distance in mm up to which a surface voxel counts as right, ≥ 0.

    Returns:
        One score a class, in the order of `label_values` without background.

    Raises:
        ShapeError: The two are not (D, H, W) arrays of one shape.
        ConfigError: The tolerance is negative or not finite.

    Source:
        Dice, HD95: https://arxiv.org/abs/2206.01653. Surface Dice:
        https://arxiv.org/abs/1809.04430, here with voxels in place of surface elements.

    Example:
        >>> reference = np.zeros((4, 4, 4), int)
        >>> reference[1:3, 1:3, 1:3] = 1
        >>> [score] = score_case(reference, reference, [0, 1], (2.0, 1.0, 1.0))
        >>> score.dice, score.surface_dice, score.hd95_mm, score.volume_difference_ml
        (1.0, 1.0, 0.0, 0.0)
    """
    _check_arrays(prediction, reference)
    if not (math.isfinite(surface_tolerance_mm) and surface_tolerance_mm >= 0):
        raise ConfigError(
            "surface_tolerance_mm",
            f"{surface_tolerance_mm} mm",
            "The tolerance is a length in mm, 0 or more.",
            "Give for instance 1.0.",
        )
    foreground = _box((prediction != 0) | (reference != 0))
    prediction, reference = prediction[foreground], reference[foreground]
    return [
        _score_class(
            prediction == value, reference == value, value, spacing_mm, surface_tolerance_mm
        )
        for value in label_values
        if value != 0
    ]


def absent_score(label_value: int) -> ClassScore:
    """The score of a class that is in neither label map: NaN throughout."""
    return ClassScore(label_value, math.nan, math.nan, math.nan, math.nan, NOTE_ABSENT)


def _score_class(
    prediction: _Mask,
    reference: _Mask,
    label_value: int,
    spacing_mm: Sequence[float],
    surface_tolerance_mm: float,
) -> ClassScore:
    in_prediction = int(np.count_nonzero(prediction))
    in_reference = int(np.count_nonzero(reference))
    if not in_prediction and not in_reference:
        return absent_score(label_value)
    difference_ml = (in_prediction - in_reference) * math.prod(spacing_mm) / 1000.0
    if not in_prediction or not in_reference:
        note = NOTE_SPURIOUS if in_prediction else NOTE_MISSED
        return ClassScore(label_value, 0.0, 0.0, math.inf, difference_ml, note)
    box = _box(prediction | reference)
    pair = _as_batch(prediction[box]), _as_batch(reference[box])
    spacing = [float(length) for length in spacing_mm]
    with warnings.catch_warnings():
        # MONAI 1.5 and 1.6 warn of an argument that MONAI itself passes on, once a class.
        warnings.filterwarnings("ignore", "(?s).*always_return_as_numpy", FutureWarning)
        surface_dice = compute_surface_dice(
            *pair,
            class_thresholds=[surface_tolerance_mm + _ROUNDING_MM],
            include_background=True,
            spacing=spacing,
        )
        hd95 = compute_hausdorff_distance(
            *pair, include_background=True, percentile=95, spacing=spacing
        )
    return ClassScore(
        label_value,
        float(compute_dice(*pair)),
        float(surface_dice),
        float(hd95),
        difference_ml,
    )


def _as_batch(mask: _Mask) -> torch.Tensor:
    """A mask (D, H, W) as MONAI's one-hot batch of one class, (1, 1, D, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(mask))[None, None]


def _box(mask: _Mask) -> tuple[slice, ...]:
    """The box around a mask with one voxel of margin; everything where the mask is empty.

    The margin keeps a face that touches the box apart from one that touches the scan's border:
    beyond either, MONAI takes the neighbour as background, so the crop changes no number and
    makes the surfaces of a small organ in a large scan quick.
    """
    slices = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        if not len(filled):
            return (slice(None),) * mask.ndim
        slices.append(slice(max(int(filled[0]) - 1, 0), int(filled[-1]) + 2))
    return tuple(slices)


def _check_arrays(prediction: NDArray[Any], reference: NDArray[Any]) -> None:
    if prediction.ndim != 3 or prediction.shape != reference.shape:
        raise ShapeError(
            "prediction",
            f"shape {prediction.shape}, reference shape {reference.shape}",
            "Both are label maps (D, H, W) of one shape.",
            "Resample the prediction onto the reference's grid first.",
        )
