"""`diagnose_dataset`: what is wrong with a data set, measured before anything is trained on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from volunet.datasets.cases import DataSet
from volunet.datasets.check import Progress
from volunet.datasets.splits import DEFAULT_FOLDS
from volunet.diagnosing.cases.constant import find_constant
from volunet.diagnosing.cases.duplicates import find_duplicates
from volunet.diagnosing.cases.empty import find_empty
from volunet.diagnosing.cases.flipped import find_flipped
from volunet.diagnosing.cases.imbalance import find_imbalance
from volunet.diagnosing.cases.intensity import find_intensity_outliers
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
from volunet.diagnosing.finding import Finding, order_findings
from volunet.plan import Triple

MINORITY: Final = 0.5
"""Share of the cases that a fault of the scans may keep from the checks behind it."""

Check = Callable[[Study], list[Finding]]

SCAN_CHECKS: Final[tuple[Check, ...]] = (
    find_spacing_outliers,
    find_constant,
    find_wrong_units,
    find_saturated,
)

LABEL_CHECKS: Final[tuple[Check, ...]] = (
    find_empty,
    find_flipped,
    find_shifted,
    find_swapped,
    find_intensity_outliers,
    find_volume_outliers,
    find_place_outliers,
    find_noise,
)
"""The scans, then the labels; the most specific first. A case that one of them explains, with more
than a hint, is kept from those behind it: a flipped label is an outlier in place too, and would
spoil what is usual."""


DATASET_FAULTS: Final = (
    "unreadable-case",
    "spacing-outlier",
    "image-constant",
    "intensity-units",
    "intensity-saturated",
    "label-empty",
    "label-flipped",
    "label-shifted",
    "classes-swapped",
    "intensity-outlier",
    "label-volume-outlier",
    "label-place-outlier",
    "label-noise",
    "duplicate-cases",
    "class-imbalance",
    "tiny-object-lost",
)
"""Names of the faults that are looked for."""


def diagnose_dataset(
    dataset: DataSet,
    *,
    folds: int = DEFAULT_FOLDS,
    spacing_mm: Triple | None = None,
    progress: Progress | None = None,
) -> list[Finding]:
    """Read every case of a data set once and look for what would spoil a training.

    Args:
        dataset: The data set.
        folds: Into how many folds it is split: duplicates are told that lie in two of them.
        spacing_mm: Spacing of the model's grid in mm, (D, H, W), instead of the median.
        progress: Told the cases done and the cases in all.

    Returns:
        The surest findings first; of those equally sure the most specific. A case that has two
        faults is told with the more specific one; look again once it is mended.

    Raises:
        DatasetError: The data set's own folds are malformed.
    """
    study = read_study(dataset, spacing_mm, progress)
    findings: list[Finding] = []
    left = study
    for check in SCAN_CHECKS + LABEL_CHECKS:
        if not left.cases:
            break
        found = check(left)
        findings += found
        told = {name for one in found if one.certainty != "low" for name in one.cases}
        # Labels can be judged on scans in any unit, where most are in the same.
        if check in LABEL_CHECKS or len(told) <= MINORITY * len(left.cases):
            left = left.without(told)
    sized = study.without(_cases_of(findings, "spacing-outlier"))
    whole = study.without(_cases_of(findings, "image-constant"))
    # What cannot be read and what the grid loses are facts, the others are inferred.
    facts = find_unreadable(study) + find_tiny_objects(sized)
    findings += find_duplicates(whole, folds)
    findings += find_imbalance(study)
    return order_findings(facts + findings)


def _cases_of(findings: list[Finding], fault: str) -> set[str]:
    return {name for finding in findings if finding.fault == fault for name in finding.cases}
