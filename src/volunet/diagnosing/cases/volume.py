"""Labels whose class is far larger or smaller than in the other cases."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.cases.grading import grade
from volunet.diagnosing.cases.robust import OUTLIER, middle_and_spread, modified_z
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import name_cases
from volunet.diagnosing.finding import Certainty, Finding

FACTOR: Final = 1.8
"""A volume within this factor of the median is no fault, however alike the others are."""

CLEAR_SCORE: Final = 6.0

CLEAR_FACTOR: Final = 2.0

_LEAST_SPREAD: Final = 0.1
"""Of the logarithm: organs differ by 10 % at the least."""

_LEAST_CASES: Final = 6


def find_volume_outliers(study: Study) -> list[Finding]:
    """Cases with a class of unusual volume, by the modified z-score of its logarithm.

    Lesions, whose volumes differ by orders of magnitude, have a spread to match and stay quiet.
    """
    if len(study.cases) < _LEAST_CASES:
        return []
    volumes = np.array([case.volumes_mm3 for case in study.cases])
    scores, factors = np.zeros((2, *volumes.shape))
    for index in range(1, volumes.shape[1]):
        present = volumes[:, index] > 0
        if present.sum() >= _LEAST_CASES:
            logs = np.full(len(volumes), np.nan)
            logs[present] = np.log(volumes[present, index])
            scores[:, index] = np.nan_to_num(np.abs(modified_z(logs, _LEAST_SPREAD)))
            factors[:, index] = np.exp(np.nan_to_num(np.abs(logs - middle_and_spread(logs)[0])))
    far = (scores > OUTLIER) & (factors >= FACTOR)
    clear = (scores > CLEAR_SCORE) & (factors >= CLEAR_FACTOR)
    worst = np.where(far, scores, 0.0).argmax(axis=1)
    findings = []
    for index, name in enumerate(study.dataset.labels.values()):
        told = np.any(far, axis=1) & (worst == index)
        for chosen, certainty in grade(told & clear[:, index], told):
            of_class = (volumes[:, index], scores[:, index])
            findings.append(_finding(study, name, *of_class, chosen, certainty))
    return findings


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
    return Finding(
        fault="label-volume-outlier",
        where=f"{name_cases(names, len(study.cases))}, {name}",
        evidence=f"{name}: {own} mm³; the other cases have {np.median(others):.4g} mm³ (median), "
        f"{others.min():.4g} to {others.max():.4g}. Modified z-score of the logarithm "
        f"{scores[chosen].min():.1f} or more; above {OUTLIER} is an outlier.",
        cause="A label that was dilated, eroded, cut off or drawn by another rule; or a rare case.",
        change=f"Look at these labels and mend them, or remove the cases: {', '.join(names)}.",
        certainty=certainty,
        cases=names,
    )
