"""Labels of background alone, and classes that are missing where nearly all others have them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import name_cases
from volunet.diagnosing.finding import Certainty, Finding

NEARLY_ALL: Final = 0.75
"""Share of the cases that have a class from which one without it is strange."""

FEW: Final = 0.1
"""Share of cases without, where the atlas cannot tell: of lesions more may be healthy."""

LOOKS_PRESENT: Final = 0.5
"""Share of the class' usual volume that the other cases' atlas must see in the image."""


def find_empty(study: Study) -> list[Finding]:
    """Cases without any class, or without one that nearly all others have; classes without case."""
    present = np.array([case.voxels[1:] > 0 for case in study.cases])
    names = list(study.dataset.labels.values())[1:]
    empty = ~np.any(present, axis=1)
    shares = present.mean(axis=0)
    findings = []
    if empty.any():
        findings.append(_finding(study, empty, shares >= NEARLY_ALL, "background alone"))
    for index, name in enumerate(names):
        missing = ~present[:, index] & ~empty
        wanted = np.arange(len(names)) == index
        if shares[index] == 0 and not empty.all():
            findings.append(_unused(study, name))
        elif missing.any() and shares[index] >= NEARLY_ALL:
            findings.append(_finding(study, missing, wanted, f"no voxel of {name}"))
    return findings


def _finding(
    study: Study, chosen: NDArray[np.bool_], wanted: NDArray[np.bool_], what: str
) -> Finding:
    """Cases that are without the wanted classes."""
    names = study.names_of(chosen)
    seen = _seen(study, chosen, wanted) if wanted.any() else None
    most = FEW if seen is None else 1 - NEARLY_ALL
    certainty: Certainty = "medium" if wanted.any() and chosen.mean() <= most else "low"
    evidence = f"The label holds {what}; {(~chosen).sum()} of {len(chosen)} cases have more."
    if seen is not None:
        evidence += (
            f" By place and intensity the other cases would label {seen:.0%} of the usual volume "
            "in these images."
        )
        certainty = "high" if seen >= LOOKS_PRESENT and certainty == "medium" else certainty
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


def _seen(study: Study, chosen: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> float | None:
    """The least share of the wanted classes' usual volume that the atlas sees in the cases."""
    if not study.usual_dice or chosen.all():
        return None
    expected = np.array([fit.expected[1:][wanted].sum() for fit in study.atlas])
    return float(expected[chosen].min() / np.median(expected[~chosen]))


def _unused(study: Study, name: str) -> Finding:
    return Finding(
        fault="label-empty",
        where=f"class {name}",
        evidence=f"The data set declares {name}, and none of {len(study.cases)} cases has it.",
        cause="A class that was not drawn, or whose value in the files is another.",
        change=f"Remove {name} from the data set's labels, or restore it in the label maps.",
        certainty="medium",
    )
