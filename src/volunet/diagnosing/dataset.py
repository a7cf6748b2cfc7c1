"""`diagnose_dataset`: what is wrong with a data set, measured before anything is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from volunet.datasets.cases import DataSet
from volunet.datasets.check import Progress
from volunet.datasets.splits import DEFAULT_FOLDS
from volunet.diagnosing.answers import OF_LABELS, Account, Answers, LeftOut, other_task
from volunet.diagnosing.cases.constant import find_constant
from volunet.diagnosing.cases.duplicates import find_duplicates
from volunet.diagnosing.cases.empty import find_empty
from volunet.diagnosing.cases.flipped import find_flipped
from volunet.diagnosing.cases.imbalance import find_imbalance
from volunet.diagnosing.cases.intensity import find_intensity_outliers
from volunet.diagnosing.cases.missing import find_missing_classes
from volunet.diagnosing.cases.noise import find_noise
from volunet.diagnosing.cases.place import find_place_outliers
from volunet.diagnosing.cases.saturated import find_saturated
from volunet.diagnosing.cases.shifted import find_shifted
from volunet.diagnosing.cases.spacing import find_spacing_outliers
from volunet.diagnosing.cases.study import Study, read_study
from volunet.diagnosing.cases.swapped import find_swapped
from volunet.diagnosing.cases.tiny import find_tiny_objects
from volunet.diagnosing.cases.units import find_wrong_units
from volunet.diagnosing.cases.unreadable import find_unreadable
from volunet.diagnosing.cases.volume import find_volume_outliers
from volunet.diagnosing.diagnosis import Diagnosis, without_repeats
from volunet.diagnosing.finding import Finding, order_findings
from volunet.plan import Triple

MINORITY: Final = 0.5
"""Share of the cases that a fault of the scans may keep from the checks behind it."""

Find = Callable[[Study], Answers]

SCAN_CHECKS: Final[Mapping[str, Find]] = MappingProxyType(
    {
        "spacing-outlier": find_spacing_outliers,
        "image-constant": find_constant,
        "intensity-units": find_wrong_units,
        "intensity-saturated": find_saturated,
    }
)
"""Fault → the check for it."""

LABEL_CHECKS: Final[Mapping[str, Find]] = MappingProxyType(
    {
        "label-empty": find_empty,
        "label-flipped": find_flipped,
        "label-shifted": find_shifted,
        "classes-swapped": find_swapped,
        "intensity-outlier": find_intensity_outliers,
        "label-volume-outlier": find_volume_outliers,
        "label-place-outlier": find_place_outliers,
        "label-noise": find_noise,
    }
)
"""The scans, then the labels; the most specific first. A case that one of them explains, with more
than a hint, is kept from those behind it: a flipped label is an outlier in place too, and would
spoil what is usual."""


_NO_CASE: Final = LeftOut("no case is left: each has a fault that is told before")


def diagnose_dataset(
    dataset: DataSet,
    *,
    folds: int = DEFAULT_FOLDS,
    spacing_mm: Triple | None = None,
    progress: Progress | None = None,
) -> Diagnosis:
    """Read every case of a data set once and look for what would spoil a training.

    Args:
        dataset: The data set.
        folds: Into how many folds it is split: duplicates are told that lie in two of them.
        spacing_mm: Spacing of the model's grid in mm, (D, H, W), instead of the median.
        progress: Told the cases done and the cases in all.

    Returns:
        The surest findings first; of those equally sure the most specific. A case that has two
        faults is told with the more specific one; look again once it is mended. What is checked in
        label maps is left out where a data set's task has none.

    Raises:
        DatasetError: The data set's own folds are malformed.
    """
    study = read_study(dataset, spacing_mm, progress)
    account, findings = Account(), list[Finding]()
    # What cannot be read and what the grid loses are facts, the others are inferred.
    facts = account.note("unreadable-case", find_unreadable(study))
    left = study
    kind = dataset.annotations.task().kind
    unfit = [] if kind in OF_LABELS else [other_task(OF_LABELS, kind)]
    for fault, find in (*SCAN_CHECKS.items(), *LABEL_CHECKS.items()):
        if unfit and fault in LABEL_CHECKS:
            account.note(fault, unfit)
            continue
        found = account.note(fault, find(left) if left.cases else [_NO_CASE])
        findings += found
        told = {name for one in found if one.certainty != "low" for name in one.cases}
        # Labels can be judged on scans in any unit, where most are in the same.
        if fault in LABEL_CHECKS or len(told) <= MINORITY * len(left.cases):
            left = left.without(told)
    # A class that is missing keeps no case from other checks: what the label has is judged.
    findings += account.note("label-empty", unfit or find_missing_classes(left))
    whole = study.without(_cases_of(findings, "image-constant"))
    sized = study.without(_cases_of(findings, "spacing-outlier"))
    findings += account.note("duplicate-cases", find_duplicates(whole, folds))
    findings += account.note("class-imbalance", unfit or find_imbalance(study))
    facts += account.note("tiny-object-lost", unfit or find_tiny_objects(sized))
    return Diagnosis(
        "dataset",
        str(dataset.root),
        tuple(order_findings(facts + findings)),
        checked=without_repeats(account.checked),
        left_out=without_repeats(account.left_out),
    )


def _cases_of(findings: list[Finding], fault: str) -> set[str]:
    return {name for finding in findings if finding.fault == fault for name in finding.cases}
