"""Labels of background alone, and classes that no label has."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.cases.grading import grade
from volunet.diagnosing.cases.presence import LOOKS_PRESENT, NEARLY_ALL, share_seen
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import name_cases
from volunet.diagnosing.finding import Certainty, Finding

FEW: Final = 0.1
"""Share of empty cases up to which they are strange where the other cases cannot tell: of lesions
more may be healthy."""


def find_empty(study: Study) -> list[Finding]:
    """Cases without any class, and classes without any case."""
    present = np.array([case.voxels[1:] > 0 for case in study.cases])
    empty = ~np.any(present, axis=1)
    findings = []
    if empty.any():
        common = present.mean(axis=0) >= NEARLY_ALL
        seen = share_seen(study, common, ~empty)
        shows = empty & (seen >= LOOKS_PRESENT)
        strange = empty & np.isnan(seen) & bool(common.any() and empty.mean() <= FEW)
        for chosen, certainty in grade(shows, strange, empty):
            findings.append(_finding(study, chosen, seen, int((~empty).sum()), certainty))
    if not empty.all():
        names = list(study.labels.values())[1:]
        findings += [
            _unused(study, name)
            for name, has in zip(names, present.T, strict=True)
            if not has.any()
        ]
    return findings


def _finding(
    study: Study,
    chosen: NDArray[np.bool_],
    seen: NDArray[np.float64],
    labelled: int,
    certainty: Certainty,
) -> Finding:
    names = study.names_of(chosen)
    evidence = f"The label holds background alone; {labelled} of {len(chosen)} cases have more."
    if np.isfinite(seen[chosen]).all():
        evidence += (
            f" By place and intensity the other cases would label {seen[chosen].min():.0%} of the "
            "usual volume in these images, or more."
        )
    return Finding(
        fault="label-empty",
        where=name_cases(names, len(study.cases)),
        evidence=evidence,
        cause="Labels that were never drawn, lost in conversion, or saved under another value.",
        change=f"Draw or restore these labels, or remove the cases: {', '.join(names)}. If nothing "
        "is there to label, keep them.",
        certainty=certainty,
        cases=names,
    )


def _unused(study: Study, name: str) -> Finding:
    return Finding(
        fault="label-empty",
        where=f"class {name}",
        evidence=f"The data set declares {name}, and none of {len(study.cases)} cases has it.",
        cause="A class that was not drawn, or whose value in the files is another.",
        change=f"Remove {name} from the data set's labels, or restore it in the label maps.",
        certainty="medium",
    )
