"""Voxel spacings that are far from the others': a wrong unit, or another kind of scan."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.answers import Answers, LeftOut
from volunet.diagnosing.cases.grading import grade
from volunet.diagnosing.cases.robust import OUTLIER, modified_z
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import few, name_cases, train_command
from volunet.diagnosing.finding import Certainty, Finding

UNIT_FACTOR: Final = 5.0
"""Voxel and scan larger by this on all three axes: no scanner's choice, but another unit."""

AXIS_FACTOR: Final = 4.0
"""One axis coarser or finer by this is worth a look; slices of 1 and of 3 mm are ordinary."""

MINORITY: Final = 0.3

_LEAST_CASES: Final = 4


def find_spacing_outliers(study: Study) -> Answers:
    """Cases whose spacing differs from the median on all axes, or much on one."""
    if too_few := few(len(study.cases), _LEAST_CASES):
        return [LeftOut(too_few)]
    spacings = np.log([case.spacing_mm for case in study.cases])
    extents = spacings + np.log([case.shape for case in study.cases])
    ratios = spacings - np.median(spacings, axis=0)
    larger = extents - np.median(extents, axis=0)
    scores = np.stack([modified_z(axis, np.log(1.2)) for axis in spacings.T], axis=1)
    least = np.log(UNIT_FACTOR)
    unit = np.zeros(len(study.cases), np.bool_)
    for sign in (1, -1):
        unit |= ((sign * ratios >= least) & (sign * larger >= least)).all(axis=1)
    far = (np.abs(ratios) >= np.log(AXIS_FACTOR)) & (np.abs(scores) > OUTLIER)
    axis = np.any(far, axis=1)
    findings = []
    for chosen, certainty in grade(unit, axis):
        if chosen.sum() <= MINORITY * len(study.cases):
            findings.append(_finding(study, np.flatnonzero(chosen).tolist(), certainty))
    return findings


def _finding(study: Study, chosen: list[int], certainty: Certainty) -> Finding:
    cases = [study.cases[index] for index in chosen]
    names = tuple(case.name for case in cases)
    median = np.median([case.spacing_mm for case in study.cases], axis=0)
    own = np.median([case.spacing_mm for case in cases], axis=0)
    extent = np.median([np.multiply(case.shape, case.spacing_mm) for case in cases], axis=0)
    wrong_unit = certainty == "high"
    return Finding(
        fault="spacing-outlier",
        where=name_cases(names, len(study.cases)),
        evidence=f"Spacing (D, H, W) {_mm(own)} mm, scan {_mm(extent)} mm; the others' median "
        f"spacing is {_mm(median)} mm: a factor of {', '.join(f'{r:.3g}' for r in own / median)}.",
        cause="The header gives another unit than mm (cm, m or µm)."
        if wrong_unit
        else "Another protocol, a localiser, or a wrong slice thickness in the header.",
        change=f"Correct the spacing in these headers, image and label, or remove the cases: "
        f"{', '.join(names)}." + ("" if wrong_unit else _if_right(study, np.sqrt(own * median))),
        certainty=certainty,
        cases=names,
    )


def _if_right(study: Study, between: NDArray[np.float64]) -> str:
    """What to do with spacings that are right: the grid is their median if nothing is said."""
    numbers = ",".join(f"{value:.4g}" for value in between)
    command = train_command(study.dataset, f"--spacing-mm {numbers}")
    return f" If they are right, and such scans count, train on a grid between both: {command}"


def _mm(values: NDArray[np.float64]) -> str:
    return " × ".join(f"{value:.3g}" for value in values)
