"""Labels whose class is far larger or smaller than in the other cases."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.answers import Answers, LeftOut, leave_out
from volunet.diagnosing.cases.grading import grade
from volunet.diagnosing.cases.robust import OUTLIER, middle_and_spread, modified_z
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import few, name_cases
from volunet.diagnosing.finding import Certainty, Finding

FACTOR: Final = 1.8
"""A volume within this factor of the median is no fault, however alike the others are."""

CLEAR_SCORE: Final = 6.0

CLEAR_FACTOR: Final = 2.0

_LEAST_SPREAD: Final = 0.1
"""Of the logarithm: organs differ by 10 % at the least."""

_LEAST_CASES: Final = 6


def find_volume_outliers(study: Study) -> Answers:
    """Cases with a class of unusual volume, by the modified z-score of its logarithm.

    Lesions, whose volumes differ by orders of magnitude, have a spread to match and stay quiet. A
    class that is too small and touches the scan's edge is a hint: the field of view may cut it.
    """
    if too_few := few(len(study.cases), _LEAST_CASES):
        return [LeftOut(too_few)]
    names = list(study.labels.values())
    volumes = np.array([case.volumes_mm3 for case in study.cases])
    scores, offsets = np.zeros((2, *volumes.shape))
    reasons = {}
    for index, name in enumerate(names[1:], start=1):
        present = volumes[:, index] > 0
        reasons[name] = few(int(present.sum()), _LEAST_CASES, "with this class")
        if not reasons[name]:
            logs = np.full(len(volumes), np.nan)
            logs[present] = np.log(volumes[present, index])
            scores[:, index] = np.nan_to_num(np.abs(modified_z(logs, _LEAST_SPREAD)))
            offsets[:, index] = np.nan_to_num(logs - middle_and_spread(logs)[0])
    factors = np.exp(np.abs(offsets))
    far = (scores > OUTLIER) & (factors >= FACTOR)
    clear = (scores > CLEAR_SCORE) & (factors >= CLEAR_FACTOR)
    touching = np.array([case.touches_edge for case in study.cases])
    cut = far & touching & (offsets < 0)
    # A case is told once, with the class that is furthest off, and rather with one that is not cut.
    worst = (np.where(far, scores, 0.0) + scores.max() * (far & ~cut)).argmax(axis=1)
    findings = []
    for index, name in enumerate(names):
        told = np.any(far, axis=1) & (worst == index)
        whole = told & ~cut[:, index]
        for chosen, certainty in grade(whole & clear[:, index], whole, told):
            of_class = (volumes[:, index], scores[:, index])
            findings.append(_finding(study, name, *of_class, chosen, certainty))
    return [*findings, *leave_out(reasons)]


def _finding(
    study: Study,
    name: str,
    volumes: NDArray[np.float64],
    scores: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    certainty: Certainty,
) -> Finding:
    names = study.names_of(chosen)
    others = volumes[~chosen & (volumes > 0)]
    own = ", ".join(f"{value:.4g}" for value in volumes[chosen][:5])
    evidence = (
        f"{name}: {own} mm³; the other cases have {np.median(others):.4g} mm³ (median), "
        f"{others.min():.4g} to {others.max():.4g}. Modified z-score of the logarithm "
        f"{scores[chosen].min():.1f} or more; above {OUTLIER} is an outlier."
    )
    cause = "A label that was dilated, eroded, cut off or drawn by another rule; or a rare case."
    change = f"Look at these labels and mend them, or remove the cases: {', '.join(names)}."
    if certainty == "low":
        evidence += " It touches the edge of the scan, which may cut it."
        cause = "The edge of the scan cuts it, as another field of view does."
        change = (
            f"Look whether these labels are whole up to the edge: {', '.join(names)}. Keep the "
            "cases where they are."
        )
    return Finding(
        fault="label-volume-outlier",
        where=f"{name_cases(names, len(study.cases))}, {name}",
        evidence=evidence,
        cause=cause,
        change=change,
        certainty=certainty,
        cases=names,
    )
