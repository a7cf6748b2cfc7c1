"""Label maps that are flipped in their array while the image is not.

Two witnesses, which know nothing of each other: the image, on whose contrast the border of a right
label lies (`boundary`), and the other cases, by place and intensity (`atlas`). The other cases
cannot tell where all labels are flipped alike; the image can.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.answers import Answers, leave_out
from volunet.diagnosing.cases.boundaries import TRUSTED_BITS
from volunet.diagnosing.cases.grading import grade
from volunet.diagnosing.cases.robust import median_of_known
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import AXES, few, name_cases
from volunet.diagnosing.finding import Certainty, Finding

BORDER_GAIN: Final = 0.3
"""Contrast that flipping back must gain, in shares of the set's median contrast."""

DICE_GAIN: Final = 0.2
"""Dice with the other cases' answer that it must gain, in shares of the set's median Dice."""

DENIES: Final = -0.1
"""A witness whose gain, in the same shares, is below denies that the label is flipped."""

MAJORITY: Final = 0.8
"""Share of the cases that must gain where all labels are said to be flipped."""

_LEAST_CASES: Final = 4


def find_flipped(study: Study) -> Answers:
    """Cases whose labels fit the image, the other cases, or both far better flipped."""
    all_flipped = _all_flipped(study)
    if all_flipped:
        return all_flipped
    borders = study.boundaries
    left_out = leave_out(
        {
            "all flipped alike": few(borders.count, _LEAST_CASES, "with a border"),
            "by the image": borders.distrust,
            "by the other cases": study.atlas_distrust,
        }
    )
    return [*_some_flipped(study), *left_out]


def _all_flipped(study: Study) -> list[Finding]:
    borders = study.boundaries
    gains = borders.contrast_flipped - borders.contrast[:, None]
    better = (gains >= np.maximum(borders.contrast, TRUSTED_BITS)[:, None]) & borders.flip_is_peak
    shares = better.mean(axis=0)
    axis = int(shares.argmax())
    if borders.count < _LEAST_CASES or shares[axis] < MAJORITY:
        return []
    names = tuple(case.name for case in study.cases)
    return [
        Finding(
            fault="label-flipped",
            where=name_cases(names, len(names)),
            evidence="Contrast at the labels' border: "
            f"{median_of_known(borders.contrast):.3f} bit as they are, "
            f"{median_of_known(borders.contrast_flipped[:, axis]):.3f} bit flipped along "
            f"{AXES[axis]} (medians); {shares[axis]:.0%} of the cases gain, each at a peak.",
            cause="The label maps were written in another orientation than their header says.",
            change=f"Flip the array of every label map along {AXES[axis]}, and keep its header.",
            certainty="high",
            cases=names,
        )
    ]


def _some_flipped(study: Study) -> list[Finding]:
    image_gain, image_says = _ask_image(study)
    others_gain, others_say = _ask_others(study)
    both = image_says & others_say
    one = (image_says & ~(others_gain < DENIES)) | (others_say & ~(image_gain < DENIES))
    total = np.nan_to_num(image_gain) + np.nan_to_num(others_gain)
    axes = np.where(both, total + 1e3, np.where(one, total, -np.inf)).argmax(axis=1)
    findings = []
    for cases, certainty in grade(np.any(both, axis=1), np.any(one, axis=1)):
        for axis in range(3):
            chosen = cases & (axes == axis)
            if chosen.any():
                findings.append(_finding(study, chosen, axis, certainty))
    return findings


def _ask_image(study: Study) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Gain and verdict of the image on each case and axis, (N, 3); NaN where it says nothing."""
    borders = study.boundaries
    if borders.distrust:
        return _silent(len(study.cases))
    gain = (borders.contrast_flipped - borders.contrast[:, None]) / borders.usual
    # A label that was moved fits better flipped too, where that happens to move it back.
    best = borders.contrast_flipped > borders.contrast_shifted[:, None]
    return gain, (gain >= BORDER_GAIN) & borders.flip_is_peak & best


def _ask_others(study: Study) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The same of the other cases."""
    fits = study.atlas
    if study.atlas_distrust:
        return _silent(len(study.cases))
    flipped = np.array([fit.dice_flipped for fit in fits])
    gain = (flipped - np.array([[fit.dice] for fit in fits])) / study.usual_dice
    other = np.array([[max(fit.dice_reordered, fit.dice_shifted)] for fit in fits])
    return gain, (gain >= DICE_GAIN) & (flipped > other)


def _silent(count: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.full((count, 3), np.nan), np.zeros((count, 3), np.bool_)


def _finding(study: Study, chosen: NDArray[np.bool_], axis: int, certainty: Certainty) -> Finding:
    borders, names = study.boundaries, study.names_of(chosen)
    evidence = (
        f"Contrast at the label's border: {median_of_known(borders.contrast[chosen]):.3f} bit as "
        f"it is, {median_of_known(borders.contrast_flipped[chosen, axis]):.3f} bit flipped along "
        f"{AXES[axis]}; the other cases have {median_of_known(borders.contrast[~chosen]):.3f}."
    )
    if study.atlas:
        dice = np.array([fit.dice for fit in study.atlas])
        flipped = np.array([fit.dice_flipped[axis] for fit in study.atlas])
        evidence += (
            " Dice with what the other cases say of these images: "
            f"{np.median(dice[chosen]):.2f} as it is, {np.median(flipped[chosen]):.2f} flipped; "
            f"the other cases have {median_of_known(dice[~chosen]):.2f} (all medians)."
        )
    return Finding(
        fault="label-flipped",
        where=name_cases(names, len(study.cases)),
        evidence=evidence,
        cause="These label maps were written in another orientation than their header says.",
        change=f"Flip the array of these label maps along {AXES[axis]} and keep the header, or "
        f"remove the cases: {', '.join(names)}.",
        certainty=certainty,
        cases=names,
    )
