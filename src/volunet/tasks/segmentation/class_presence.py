"""Which classes a fit is shown: what no case shows can be neither learnt nor validated."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

_log = logging.getLogger(__name__)


def absent_classes(shown: Iterable[ArrayLike], classes: Sequence[str]) -> tuple[str, ...]:
    """The foreground classes that are shown nowhere.

    Args:
        shown: Arrays of class indices, in which the background may be or not; taken one by one,
            and no more once every class has been seen.
        classes: Names of the classes, background first.
    """
    absent = set(range(1, len(classes)))
    for indices in shown:
        absent -= set(np.unique(indices).tolist())
        if not absent:
            break
    return tuple(name for index, name in enumerate(classes) if index in absent)


def can_validate(
    classes: Sequence[str], taught: Iterable[ArrayLike], shown: Iterable[ArrayLike]
) -> bool:
    """Whether the validation patches show any foreground; classes that are absent are logged.

    Args:
        classes: Names of the classes, background first.
        taught: Class indices of each case that trains.
        shown: Class indices of the patches that each validation looks at, at least one.
    """
    untaught = absent_classes(taught, classes)
    if untaught:
        _log.warning("No training case shows %s: it cannot be learnt.", " or ".join(untaught))
    unseen = absent_classes(shown, classes)
    if len(unseen) == len(classes) - 1:
        _log.warning(
            "The validation cases show background alone: nothing validates, and the last weights "
            "are kept."
        )
        return False
    if unseen:
        _log.warning(
            "No validation patch shows %s: the Dice is that of the other classes.",
            " or ".join(unseen),
        )
    return True
