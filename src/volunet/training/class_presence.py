"""Which classes the cases of a fit show: what none shows can be neither learnt nor validated."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from volunet.datasets.cache import PreparedCase

_log = logging.getLogger(__name__)


def absent_classes(cases: Sequence[PreparedCase], classes: Sequence[str]) -> tuple[str, ...]:
    """The foreground classes that no case shows.

    Args:
        cases: Cases on the model's grid.
        classes: Names of the classes, background first.
    """
    absent = set(range(1, len(classes)))
    for case in cases:
        if not absent:
            break
        absent -= set(np.unique(case.voxels()[:, 0]).tolist())
    return tuple(name for index, name in enumerate(classes) if index in absent)


def can_validate(
    classes: Sequence[str], training: Sequence[PreparedCase], validation: Sequence[PreparedCase]
) -> bool:
    """Whether the validation cases show any foreground; classes that are absent are logged.

    Args:
        classes: Names of the classes, background first.
        training: Cases that train.
        validation: Cases that validate, which may be none.
    """
    untaught = absent_classes(training, classes)
    if untaught:
        _log.warning("No training case shows %s: it cannot be learnt.", " or ".join(untaught))
    if not validation:
        return False
    unseen = absent_classes(validation, classes)
    if len(unseen) == len(classes) - 1:
        _log.warning(
            "The validation cases show background alone: nothing validates, and the last weights "
            "are kept."
        )
        return False
    if unseen:
        _log.warning(
            "No validation case shows %s: the Dice is that of the other classes.",
            " or ".join(unseen),
        )
    return True
