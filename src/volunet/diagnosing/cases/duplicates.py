"""Scans that are in the data set twice, perhaps with noise or in another scale.

A duplicate across training and validation makes the validation Dice a lie. Two scans are compared
by the correlation of their thumbnails without what is smooth in them, which all scans of one
anatomy share.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from volunet.datasets.splits import DEFAULT_FOLDS, Fold, find_splits, split_cases
from volunet.diagnosing.answers import Answers, LeftOut
from volunet.diagnosing.cases.robust import middle_and_spread
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import few, list_names
from volunet.diagnosing.finding import Finding

SURE: Final = 0.95
"""Correlation from which two scans are one: noise alone takes less away, and two patients are less
alike."""

LIKELY: Final = 0.85
"""Correlation that is left of one scan that was cropped by a voxel, or moved."""

_BEYOND: Final = 6.0
"""Deviations, in Fisher's z, by which a pair must be more alike than pairs of the set are."""

_DETAIL_VOXELS: Final = 3.0
"""What is smoother than this deviation, in voxels of the thumbnail, is left out."""

_TOLD: Final = 5

_LEAST_PAIRS: Final = 15
"""Of fewer pairs the usual likeness is not known, and `SURE` and `LIKELY` are the limits alone."""


def find_duplicates(study: Study, folds: int = DEFAULT_FOLDS) -> Answers:
    """Groups of scans that are one scan; the sure ones, then the likely ones.

    Args:
        study: The cases.
        folds: Into how many folds the data set is split.
    """
    if too_few := few(len(study.cases), 2):
        return [LeftOut(too_few)]
    likeness = _likeness(study)
    usual = _limit(likeness)
    sure = likeness >= max(SURE, usual)
    likely = (likeness >= max(LIKELY, usual)) & ~sure
    findings = []
    for pairs in (sure, likely):
        if pairs.any():
            findings.append(_finding(study, likeness, pairs, folds, certain=pairs is sure))
    return findings


def _likeness(study: Study) -> NDArray[np.float64]:
    """Correlation of the details of each pair of scans, (N, N); 0 on and below the diagonal."""
    details = []
    for case in study.cases:
        image = case.image.astype(np.float32)
        smooth = ndimage.gaussian_filter(image, (0, *(_DETAIL_VOXELS,) * 3), mode="nearest")
        detail = (image - smooth).reshape(-1)
        details.append(detail / max(float(np.linalg.norm(detail)), 1e-6))
    matrix = np.stack(details)
    return np.triu(matrix @ matrix.T, 1).astype(np.float64)


def _limit(likeness: NDArray[np.float64]) -> float:
    pairs = likeness[np.triu_indices(len(likeness), 1)]
    if len(pairs) < _LEAST_PAIRS:
        return 0.0
    middle, spread = middle_and_spread(np.arctanh(np.clip(pairs, -1 + 1e-6, 1 - 1e-6)))
    return float(np.tanh(middle + _BEYOND * spread))


def _finding(
    study: Study,
    likeness: NDArray[np.float64],
    pairs: NDArray[np.bool_],
    folds: int,
    certain: bool,
) -> Finding:
    names = [case.name for case in study.cases]
    found = [(names[first], names[second]) for first, second in np.argwhere(pairs)]
    folds_of = _validation_folds(study, folds)
    apart = [pair for pair in found if folds_of.get(pair[0]) != folds_of.get(pair[1])]
    told = [
        f"{first} and {second} {value:.3f}"
        for (first, second), value in zip(found, likeness[pairs], strict=True)
    ]
    rest = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    others = likeness[np.triu(~pairs, 1)]
    usual = (
        f" Of other pairs {np.median(others):.2f} (median), {others.max():.2f} at the most."
        if others.size
        else ""
    )
    leaks = (
        f"{len(apart)} of {len(found)} pairs are trained on and validated in one fold of {folds}, "
        f"such as {' and '.join(apart[0])}: the validation Dice is flattered."
        if apart
        else "Each pair lies on one side of each fold."
    )
    spare = _all_but_one(pairs, names)
    involved = tuple(name for name in names if any(name in pair for pair in found))
    return Finding(
        fault="duplicate-cases",
        where=f"{len(found)} pairs: {list_names(involved)}",
        evidence=f"Correlation of the scans' details: {'; '.join(told[:_TOLD])}{rest}."
        f"{usual} {leaks}",
        cause="One scan under several names, or the same patient twice.",
        change=f"Remove the cases {', '.join(spare)} from the data set.",
        certainty="high" if certain and apart else "medium",
        cases=involved,
    )


def _validation_folds(study: Study, folds: int) -> dict[str, int]:
    """The fold in which each case validates; all in one where there are too few cases to split."""
    cases = study.dataset.cases
    count = min(folds, len(cases))
    if count < 2:
        return {}
    splits = find_splits(study.dataset)
    return {
        case.name: number
        for number in range(1, count + 1)
        for case in split_cases(cases, Fold(number, count), splits)[1]
    }


def _all_but_one(pairs: NDArray[np.bool_], names: list[str]) -> list[str]:
    """Of each group of scans that are one, all but the first."""
    _, groups = connected_components(pairs, directed=False)
    _, first = np.unique(groups, return_index=True)
    return [name for index, name in enumerate(names) if index not in first]
