"""Single classes that are missing in a label where nearly all others have them.

An organ may have been taken out, a lesion may never have been there: a class that is missing is at
most likely to be forgotten, and only where the other cases know it well and see it in the image.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.answers import Answers, LeftOut
from volunet.diagnosing.cases.grading import grade
from volunet.diagnosing.cases.presence import LOOKS_PRESENT, NEARLY_ALL, share_seen
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import few, name_cases
from volunet.diagnosing.finding import Certainty, Finding

_LEAST_CASES: Final = 4
"""Of fewer cases those with a class cannot be three quarters and one be without."""


def find_missing_classes(study: Study) -> Answers:
    """Cases without a class that nearly all have, beside other classes."""
    study = study.without({case.name for case in study.cases if not case.foreground})
    if too_few := few(len(study.cases), _LEAST_CASES, "with a label"):
        return [LeftOut(f"a single class: {too_few}")]
    present = np.array([case.voxels[1:] > 0 for case in study.cases])
    findings = []
    for index, has in enumerate(present.T):
        if has.all() or has.mean() < NEARLY_ALL:
            continue
        seen = share_seen(study, np.arange(present.shape[1]) == index, has)
        shows = ~has & (seen >= LOOKS_PRESENT)
        for chosen, certainty in grade(np.zeros_like(has), shows, ~has):
            findings.append(_finding(study, index, chosen, has, seen, certainty))
    return findings


def _finding(
    study: Study,
    index: int,
    chosen: NDArray[np.bool_],
    has: NDArray[np.bool_],
    seen: NDArray[np.float64],
    certainty: Certainty,
) -> Finding:
    names, name = study.names_of(chosen), list(study.labels.values())[1 + index]
    evidence = f"The label holds no voxel of {name}; {has.sum()} of {len(has)} cases have some."
    if study.atlas:
        evidence += (
            " By place and intensity the other cases say where it lies with a Dice of "
            f"{study.class_dice[index]:.2f} (median)"
        )
        evidence += (
            f", and would label {seen[chosen].min():.0%} of its usual volume in these images, or "
            "more."
            if np.isfinite(seen[chosen]).all()
            else ", too little to tell whether these images show it."
        )
    return Finding(
        fault="label-empty",
        where=f"{name_cases(names, len(study.cases))}, {name}",
        evidence=evidence,
        cause="A class that was forgotten or lost in conversion; or there is none in this body.",
        change=f"Look whether {name} is there: draw or restore it, or keep the cases as they are: "
        f"{', '.join(names)}.",
        certainty=certainty,
        cases=names,
    )
