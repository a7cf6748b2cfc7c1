"""Scores against shapes whose scores can be worked out by hand.

MONAI computes in 32 bits, hence tolerances of 1e-6 on values near 1.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from volunet.errors import ConfigError, ShapeError
from volunet.tasks.segmentation import metrics
from volunet.tasks.segmentation.metrics import ClassScore, score_case

SPACING_MM = (3.0, 0.5, 2.0)


def cube(corner: tuple[int, int, int], side: int = 10, shape: int = 24) -> NDArray[np.int64]:
    array = np.zeros((shape, shape, shape), dtype=np.int64)
    array[tuple(slice(start, start + side) for start in corner)] = 1
    return array


def only(scores: list[ClassScore]) -> ClassScore:
    (score,) = scores
    return score


def test_equal_label_maps_score_perfectly() -> None:
    score = only(score_case(cube((5, 5, 5)), cube((5, 5, 5)), [1], SPACING_MM))
    assert score == ClassScore(1, 1.0, 1.0, 0.0, 0.0, "")


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["depth", "height", "width"])
@pytest.mark.parametrize("shift", [1, 2, 4])
def test_shifted_cubes(axis: int, shift: int) -> None:
    corner = [5, 5, 5]
    corner[axis] += shift
    score = only(
        score_case(cube((corner[0], corner[1], corner[2])), cube((5, 5, 5)), [1], SPACING_MM)
    )
    # The overlap is 10 − shift of 10 layers. The leading face is 100 of the 488 surface voxels,
    # well over 5 %, and each of its voxels is `shift` voxels away from the other surface, so the
    # 95th percentile is that distance.
    assert score.dice == pytest.approx((10 - shift) / 10, abs=1e-6)
    assert score.hd95_mm == pytest.approx(shift * SPACING_MM[axis], abs=1e-5)
    assert score.volume_difference_ml == 0.0


def test_known_overlap_and_signed_volume() -> None:
    reference = cube((5, 5, 5))
    half = reference.copy()
    half[5:10] = 0
    spacing = (1.0, 1.0, 1.0)
    smaller = only(score_case(half, reference, [1], spacing))
    larger = only(score_case(reference, half, [1], spacing))
    # 2 · 500 / (500 + 1000); 500 voxels of 1 mm³ are 0.5 ml.
    assert smaller.dice == pytest.approx(2 / 3, abs=1e-6)
    assert larger.dice == pytest.approx(2 / 3, abs=1e-6)
    assert smaller.volume_difference_ml == pytest.approx(-0.5)
    assert larger.volume_difference_ml == pytest.approx(0.5)


def test_volume_uses_the_spacing() -> None:
    reference = cube((5, 5, 5))
    prediction = reference.copy()
    prediction[0, 0, :7] = 1
    score = only(score_case(prediction, reference, [1], SPACING_MM))
    assert score.volume_difference_ml == pytest.approx(7 * 3.0 * 0.5 * 2.0 / 1000)


@pytest.mark.parametrize(
    ("tolerance_mm", "expected"), [(0.0, 0.0), (1.9, 0.0), (2.0, 1.0), (2.1, 1.0)]
)
def test_one_voxel_structures(tolerance_mm: float, expected: float) -> None:
    prediction, reference = np.zeros((2, 6, 6, 6), dtype=np.int64)
    prediction[3, 3, 4] = reference[3, 3, 3] = 7
    score = only(score_case(prediction, reference, [7], SPACING_MM, tolerance_mm))
    assert score.label_value == 7
    assert score.dice == 0.0
    assert score.hd95_mm == pytest.approx(2.0)
    assert score.surface_dice == expected


def test_one_voxel_that_agrees() -> None:
    volume = np.zeros((1, 1, 1), dtype=np.int64) + 1
    assert only(score_case(volume, volume, [1], SPACING_MM)) == ClassScore(1, 1, 1, 0, 0)


def test_surface_dice_counts_the_voxels_within_tolerance() -> None:
    # A line of 36 voxels, 0.5 mm apart, of which the prediction lacks the last 9: every voxel of
    # either is surface.
    reference = np.zeros((6, 40, 6), dtype=np.int64)
    reference[2, :36, 3] = 1
    prediction = reference.copy()
    prediction[2, 27:36, 3] = 0
    score = only(score_case(prediction, reference, [1], SPACING_MM, 1.0))
    # The prediction's 27 voxels lie on the reference; of the reference's 36 so do 27, and the 2
    # that are 0.5 and 1 mm beyond the prediction's end are within 1 mm.
    assert score.surface_dice == pytest.approx((27 + 29) / (27 + 36), abs=1e-6)
    # One direction is 0; the other has its 95th percentile among 27 zeros and 0.5 … 4.5 mm:
    # position 0.95 · 35 = 33.25 of the sorted 36, between 3.5 and 4 mm.
    assert score.hd95_mm == pytest.approx(3.5 + 0.25 * 0.5, abs=1e-5)


def test_rounded_spacing_does_not_flip_the_surface_dice() -> None:
    prediction, reference = cube((6, 5, 5)), cube((5, 5, 5))
    rounded = float(np.nextafter(np.float32(1.0), np.float32(2.0)))
    exact = only(score_case(prediction, reference, [1], (1.0, 1.0, 1.0), 1.0))
    nearly = only(score_case(prediction, reference, [1], (rounded, rounded, rounded), 1.0))
    assert exact.surface_dice == 1.0
    assert nearly.surface_dice == exact.surface_dice


def test_absent_from_both() -> None:
    score = only(score_case(cube((5, 5, 5)), cube((5, 5, 5)), [2], SPACING_MM))
    assert score.note == "absent"
    scores = (score.dice, score.surface_dice, score.hd95_mm, score.volume_difference_ml)
    assert all(math.isnan(value) for value in scores)


def test_present_in_one_only() -> None:
    empty = np.zeros((24, 24, 24), dtype=np.int64)
    voxel_ml = math.prod(SPACING_MM) / 1000
    missed = only(score_case(empty, cube((5, 5, 5)), [1], SPACING_MM))
    assert missed == ClassScore(1, 0.0, 0.0, math.inf, pytest.approx(-1000 * voxel_ml), "missed")
    spurious = only(score_case(cube((5, 5, 5)), empty, [1], SPACING_MM))
    assert spurious == ClassScore(1, 0.0, 0.0, math.inf, pytest.approx(1000 * voxel_ml), "spurious")


def test_background_is_left_out_and_the_order_is_kept() -> None:
    both = cube((5, 5, 5))
    both[0, 0, 0] = 5
    scores = score_case(both, both, [5, 0, 1], SPACING_MM)
    assert [score.label_value for score in scores] == [5, 1]


def test_an_empty_pair() -> None:
    empty = np.zeros((3, 3, 3), dtype=np.uint8)
    assert only(score_case(empty, empty, [1], SPACING_MM)).note == "absent"


def test_cropping_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    # Blobs in a corner (touching the scan's border) and in the middle.
    reference = np.zeros((20, 22, 24), dtype=np.int64)
    reference[:6, :5, :7] = random.integers(0, 3, (6, 5, 7))
    reference[9:15, 10:16, 8:13] = random.integers(0, 3, (6, 6, 5))
    prediction = np.roll(reference, 1, axis=1)
    cropped = score_case(prediction, reference, [1, 2], SPACING_MM)
    monkeypatch.setattr(metrics, "_box", lambda mask: (slice(None),) * mask.ndim)
    assert score_case(prediction, reference, [1, 2], SPACING_MM) == cropped


def test_the_box_has_one_voxel_of_margin_inside_the_scan() -> None:
    mask = np.zeros((8, 8, 8), dtype=bool)
    mask[0, 3:5, 7] = True
    assert metrics._box(mask) == (slice(0, 2), slice(2, 6), slice(6, 9))
    assert mask[metrics._box(mask)].shape == (2, 4, 2)


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [((4, 4, 4), (4, 4, 5)), ((1, 4, 4, 4), (1, 4, 4, 4))],
    ids=["two shapes", "four axes"],
)
def test_shapes_that_do_not_fit(prediction: tuple[int, ...], reference: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"label maps \(D, H, W\) of one shape"):
        score_case(np.zeros(prediction, int), np.zeros(reference, int), [1], SPACING_MM)


@pytest.mark.parametrize("tolerance_mm", [-1.0, math.nan, math.inf])
def test_a_tolerance_that_is_no_length(tolerance_mm: float) -> None:
    volume = np.ones((2, 2, 2), dtype=np.int64)
    with pytest.raises(ConfigError, match="0 or more"):
        score_case(volume, volume, [1], SPACING_MM, tolerance_mm)
