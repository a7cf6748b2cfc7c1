"""Labels that lie elsewhere in their scan than the others."""

from __future__ import annotations

from typing import Final

import numpy as np

from volunet.diagnosing.answers import Answers, LeftOut, leave_out
from volunet.diagnosing.cases.robust import modified_z
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import AXES, few, name_cases
from volunet.diagnosing.finding import Finding

LEAST_SHARE: Final = 0.1
"""Of the scan's size: labels nearer to the usual place are where they belong."""

HINT_SCORE: Final = 5.0

OUTLIER_SCORE: Final = 7.0
"""A scan that was cropped otherwise has such scores too; there the label lies well on its image."""

CONTRAST_SHARE: Final = 0.5
"""Of the usual contrast at the border (`boundary`): a label that has less is disputed by its own
image."""

_LEAST_SPREAD: Final = 0.02

_LEAST_CASES: Final = 10
"""Of fewer cases, three places along three axes, one looks far by chance."""


def find_place_outliers(study: Study) -> Answers:
    """Cases whose classes lie far from their usual place, in fractions of the scan."""
    if too_few := few(len(study.cases), _LEAST_CASES):
        return [LeftOut(too_few)]
    names = list(study.labels.values())
    centres = np.array([case.centres for case in study.cases])
    scores, moves = np.zeros((2, *centres.shape))
    reasons = {}
    for index, name in enumerate(names[1:], start=1):
        held = int(np.isfinite(centres[:, index, 0]).sum())
        reasons[name] = few(held, _LEAST_CASES, "with this class")
        if reasons[name]:
            continue
        for axis in range(3):
            values = centres[:, index, axis]
            scores[:, index, axis] = np.nan_to_num(modified_z(values, _LEAST_SPREAD))
            moves[:, index, axis] = np.nan_to_num(values - np.nanmedian(values))
    scores = np.where(np.abs(moves) >= LEAST_SHARE, np.abs(scores), 0.0)
    worst = scores.max(axis=(1, 2))
    borders = study.boundaries
    disputed = ~(borders.contrast >= CONTRAST_SHARE * borders.usual) | bool(borders.distrust)
    findings = []
    for case, score in enumerate(worst.tolist()):
        if score < HINT_SCORE:
            continue
        index, axis = divmod(int(scores[case].argmax()), 3)
        usual = float(np.nanmedian(centres[:, index, axis]))
        findings.append(
            Finding(
                fault="label-place-outlier",
                where=name_cases([study.cases[case].name], len(study.cases)),
                evidence=f"The middle of {names[index]} lies at {centres[case, index, axis]:.2f} "
                f"of the scan along {AXES[axis]}; in the other cases at {usual:.2f} (median). "
                f"Modified z-score {score:.1f}; healthy cases stay below {HINT_SCORE:g} but for a "
                "few.",
                cause="A label at the wrong place."
                if disputed[case]
                else "A scan that was cropped otherwise; the label lies well on its image.",
                change="Look at the case; mend the label or remove the case: "
                f"{study.cases[case].name}.",
                certainty="medium" if score >= OUTLIER_SCORE and disputed[case] else "low",
                cases=(study.cases[case].name,),
            )
        )
    return [*findings, *leave_out(reasons)]
