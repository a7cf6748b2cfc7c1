"""Label maps that are moved against their image.

The image says where each label's border would lie best (`boundary`), and by how much better than
where it lies. Where all labels are moved alike it is the only witness; where some are, the other
cases are asked too (`atlas`).
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
from volunet.diagnosing.cases.wording import few, name_cases
from volunet.diagnosing.finding import Certainty, Finding

LEAST_VOXELS: Final = 3
"""Labels move by 1 or 2 with the way in which someone draws a border."""

GAIN: Final = 1.8
"""Times the contrast that the best place has at the least, of what the label's own place has."""

SHARE: Final = 0.5
"""Of the usual contrast: a moved label has less, and its best place has more."""

DICE_GAIN: Final = 0.1
"""Dice with the other cases' answer that the move must gain, in shares of the set's median."""

MAJORITY: Final = 0.6
"""Share of the cases whose best move is the set's, where all labels are said to be moved."""

FEW_PEAKS: Final = 0.3
"""Labels of which more lie on a peak of contrast as they are, are not all moved."""

_LEAST_CASES: Final = 4

_SAME_MOVE: Final = 1
"""Voxels along each axis within which two moves are one."""


def find_shifted(study: Study) -> Answers:
    """Cases whose labels would lie on the image several voxels away; or all of them."""
    all_shifted = _all_shifted(study)
    if all_shifted:
        return all_shifted
    borders = study.boundaries
    too_few = few(borders.count, _LEAST_CASES, "with a border")
    left_out = leave_out(
        {"all moved alike": too_few, "single cases": too_few or borders.distrust},
    )
    return [*_some_shifted(study), *left_out]


def _all_shifted(study: Study) -> list[Finding]:
    borders = study.boundaries
    known = np.isfinite(borders.contrast)
    if borders.count < _LEAST_CASES:
        return []
    shifts = borders.shift[known]
    move = np.median(shifts, axis=0)
    alike = float((np.abs(shifts - move).max(axis=1) <= _SAME_MOVE).mean())
    own = float(np.median(borders.contrast[known]))
    best = float(np.median(borders.contrast_shifted[known]))
    peaks = float(borders.is_peak[known].mean())
    if (
        np.abs(move).max() < LEAST_VOXELS
        or alike < MAJORITY
        or best < max(GAIN * own, TRUSTED_BITS)
        or peaks > FEW_PEAKS
    ):
        return []
    names = tuple(case.name for case in study.cases)
    return [
        Finding(
            fault="label-shifted",
            where=name_cases(names, len(names)),
            evidence=f"Contrast at the labels' border: {own:.3f} bit as they are, {best:.3f} bit "
            f"moved by {_voxels(move)} voxels (medians). {alike:.0%} of the cases have their best "
            f"place within {_SAME_MOVE} voxel of that move; {peaks:.0%} lie on a peak as they are.",
            cause="An origin, a crop or an off-by-n in the script that wrote the label maps.",
            change=f"Move every label map by {_voxels(move)} voxels (in RAS orientation), or "
            "write the labels anew from their source.",
            certainty="high",
            cases=names,
        )
    ]


def _some_shifted(study: Study) -> list[Finding]:
    borders, usual = study.boundaries, study.boundaries.usual
    if borders.count < _LEAST_CASES or borders.distrust:
        return []
    chosen = (
        (np.abs(borders.shift).max(axis=1) >= LEAST_VOXELS)
        & (borders.contrast_shifted >= GAIN * borders.contrast)
        & (borders.contrast < SHARE * usual)
        & (borders.contrast_shifted >= SHARE * usual)
        & (borders.contrast_shifted >= borders.contrast_flipped.max(axis=1))
    )
    sure, likely = chosen & _others_agree(study), chosen & ~borders.is_peak
    if study.usual_dice:
        likely &= sure  # the other cases can tell, and deny it
    return [_finding(study, cases, certainty) for cases, certainty in grade(sure, likely)]


def _others_agree(study: Study) -> NDArray[np.bool_]:
    """Whether the moved label fits better what the other cases say of the image."""
    if not study.usual_dice:
        return np.zeros(len(study.cases), np.bool_)
    gains = np.array([fit.dice_shifted - fit.dice for fit in study.atlas])
    return np.asarray(gains >= DICE_GAIN * study.usual_dice)


def _finding(study: Study, chosen: NDArray[np.bool_], certainty: Certainty) -> Finding:
    borders, names = study.boundaries, study.names_of(chosen)
    moves = [
        f"{name} by {_voxels(shift)}"
        for name, shift in zip(names, borders.shift[chosen], strict=True)
    ]
    return Finding(
        fault="label-shifted",
        where=name_cases(names, len(study.cases)),
        evidence="Contrast at the label's border: "
        f"{median_of_known(borders.contrast[chosen]):.3f} bit as it is, "
        f"{median_of_known(borders.contrast_shifted[chosen]):.3f} bit after the best move; the "
        f"other cases have {median_of_known(borders.contrast[~chosen]):.3f} as they are (medians).",
        cause="An origin, a crop or a hand that moved the label against its image.",
        change=f"Move these label maps (voxels along D, H, W in RAS orientation): "
        f"{'; '.join(moves)}. Or remove the cases.",
        certainty=certainty,
        cases=names,
    )


def _voxels(move: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:+.0f}" for value in move) + ")"
