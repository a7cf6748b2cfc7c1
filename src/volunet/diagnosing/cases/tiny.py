"""Classes and objects that vanish when labels are brought onto the model's grid."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.answers import Answers, LeftOut
from volunet.diagnosing.cases.lost import Losses
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.summary import CaseSummary
from volunet.diagnosing.cases.wording import NO_CLASS, name_cases, train_command
from volunet.diagnosing.finding import Certainty, Finding

KEPT_SHARE: Final = 0.5
"""Volume that a class must keep: of one that loses more, the network learns another shape."""

OBJECTS_SHARE: Final = 0.1
"""Share of a class' objects that vanish, from which it is more than a hint."""

CASES_SHARE: Final = 0.05
"""Share of the cases with a class that lose most of it, from which it is sure: one may be odd."""


def find_tiny_objects(study: Study) -> Answers:
    """For each class the cases in which resampling takes most of it, or whole objects."""
    if not any(case.foreground for case in study.cases):
        return [LeftOut(NO_CLASS)]
    findings = []
    for index, name in enumerate(study.labels.values()):
        held = [case for case in study.cases if index and case.voxels[index]]
        hit = [case for case in held if case.losses and _is_hit(case.losses, index)]
        if hit:
            findings.append(_finding(study, index, name, held, hit))
    return findings


def _is_hit(losses: Losses, index: int) -> bool:
    return bool(losses.volume_kept[index] < KEPT_SHARE or losses.objects_lost[index])


def _finding(
    study: Study, index: int, name: str, held: list[CaseSummary], hit: list[CaseSummary]
) -> Finding:
    losses = [case.losses for case in hit if case.losses]
    kept = np.array([each.volume_kept[index] for each in losses])
    lost = sum(int(each.objects_lost[index]) for each in losses)
    objects = sum(int(case.losses.objects[index]) for case in held if case.losses)
    mostly = int((kept < KEPT_SHARE).sum())
    certainty: Certainty = "low"
    if mostly or lost >= OBJECTS_SHARE * objects:
        certainty = "high" if mostly > CASES_SHARE * len(held) else "medium"
    names = tuple(case.name for case in hit)
    finer = np.minimum(study.spacing_mm, np.median([case.spacing_mm for case in hit], axis=0))
    return Finding(
        fault="tiny-object-lost",
        where=f"{name_cases(names, len(study.cases))}, {name}",
        evidence=f"On the model's grid of {_mm(np.array(study.spacing_mm), ' × ')} mm (D, H, W) "
        f"{name} keeps {kept.min():.0%} of its volume at the least, below {KEPT_SHARE:.0%} in "
        f"{mostly} of {len(held)} cases; {lost} of {objects} objects keep no voxel.",
        cause="The grid is too coarse for these objects.",
        change=f"Train on a finer grid: "
        f"{train_command(study.dataset, '--spacing-mm ' + _mm(finer, ','))}",
        certainty=certainty,
        cases=names,
    )


def _mm(values: NDArray[np.float64], between: str) -> str:
    return between.join(f"{value:.4g}" for value in values)
