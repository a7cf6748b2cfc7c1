"""What validation says: overfitting, and whether the validation itself can be trusted."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Final

from volunet.datasets.rules import FEW_CASES
from volunet.diagnosing.answers import OF_LABELS, LeftOut
from volunet.diagnosing.check import Answer, Check
from volunet.diagnosing.command import examine, train_again
from volunet.diagnosing.finding import Finding
from volunet.diagnosing.probes.material import find_cases
from volunet.diagnosing.record import Record
from volunet.errors import DatasetError

CASE_DEVIATION: Final = 0.1
"""Standard deviation of the Dice from case to case where none was measured; organs have less."""

SMALLEST_GAP: Final = 0.05
"""Gap between training and validation Dice that is worth a word, however many cases there are."""

WIDE_GAP: Final = 0.15
"""A gap that fits which are well do not have, if it is far beyond chance too."""

FEW_VALIDATED: Final = 5
"""Validation cases below which one odd case decides."""

JITTER: Final = 0.03
"""Median step of the Dice from one validation to the next in the last half, at the most."""

_LAST: Final = 3

_UNSEEN: Final = "Nothing tells overfitting, and the weights kept are the last and not the best."


def overfitting(record: Record) -> Answer:
    """A Dice that is far higher on training than on validation cases."""
    training = dict(record.finite("train_dice"))
    validation = dict(record.finite("val_dice"))
    steps = sorted(training.keys() & validation.keys())
    if len(steps) < 2:
        return LeftOut(f"{len(steps)} validations, 2 are needed")
    gaps = [training[step] - validation[step] for step in steps]
    gap = statistics.fmean(gaps[-_LAST:])
    run = record.run
    num_training = min(run.config.validation_cases, len(run.training))
    num_validation = validated_cases(record)
    measured = record.probed.case_dice and record.probed.case_dice.deviation()
    deviation = measured or CASE_DEVIATION
    chance = 2 * deviation * math.sqrt(1 / max(1, num_training) + 1 / max(1, num_validation))
    least = max(SMALLEST_GAP, chance)
    if gap < least:
        return None
    losses = record.values("val_loss")
    rises = bool(losses) and losses[-1] > 1.1 * min(losses)
    rising = f"; the validation loss rose from {min(losses):.3g} to {losses[-1]:.3g}" * rises
    return Finding(
        "overfitting",
        "training and validation Dice",
        f"Dice {training[steps[-1]]:.2f} on {num_training} training cases and "
        f"{validation[steps[-1]]:.2f} on {num_validation} validation cases, a gap of {gap:.2f} "
        f"over the last validations ({gaps[0]:+.2f} in the first){rising}; with so many cases up "
        f"to {chance:.2f} may be chance, as the Dice's deviation from case to case is "
        f"{deviation:.2f}{'' if measured else ' or less'}.",
        _cause(record),
        train_again(record.started, **_measures(record)),
        "high" if gap > 2 * chance and (gap > WIDE_GAP or rises) else "medium",
    )


def noisy_validation(record: Record) -> Answer:
    """Validation by too few cases, or one that jumps."""
    count = validated_cases(record)
    dice = record.values("val_dice")
    late = dice[len(dice) // 2 :]
    jumps = [abs(after - before) for before, after in itertools.pairwise(late)]
    jump = statistics.median(jumps) if len(jumps) >= 3 else 0.0
    if count >= FEW_VALIDATED and jump <= JITTER:
        return None
    return Finding(
        "noisy-validation",
        f"{count} validation cases",
        f"the Dice changes by {jump:.3f} from one validation to the next (median of the last half) "
        f"and is of {count} cases; {FEW_VALIDATED} cases and {JITTER:g} are fine.",
        "Few cases validate, so that the best weights are chosen by chance.",
        train_again(record.started, fold="all"),
        "low",
    )


def no_validation(record: Record) -> Answer:
    """A fit that nothing validates."""
    run = record.run
    if not run.validation:
        return Finding(
            "no-validation",
            "the split",
            f"all {len(run.training)} cases train (fold {run.config.fold}).",
            _UNSEEN,
            train_again(record.started, fold="1/5"),
            "low",
        )
    if record.finite(record.score.validation) or not record.metrics:
        return None
    prepared = find_cases(run, run.validation)
    try:
        if any(len(case.places()) for case in prepared):
            return LeftOut("the fit ended before its first validation")
    except DatasetError as error:
        return LeftOut(error.found)
    known = "they show background alone" if prepared else "whether they show foreground is unknown"
    return Finding(
        "no-validation",
        "the validation cases",
        f"there are {len(run.validation)}, and no row has a {record.score.title} of them; {known}.",
        _UNSEEN,
        examine(run.dataset),
        "low",
    )


CHECKS: Final = (
    Check("overfitting", overfitting, columns=("train_dice", "val_dice"), tasks=OF_LABELS),
    Check("no-validation", no_validation),
    Check("noisy-validation", noisy_validation, columns=("val_dice",), tasks=OF_LABELS),
)


def validated_cases(record: Record) -> int:
    """Cases that each validation looks at."""
    return min(record.run.config.validation_cases, len(record.run.validation))


def _cause(record: Record) -> str:
    run = record.run
    few = len(run.training) < FEW_CASES
    off = [
        word
        for word, is_off in (
            ("augmentation", run.plan.regularisation.augmentation in ("none", "light")),
            ("dropout", not _dropout(record)),
        )
        if is_off
    ]
    known = f"{len(run.training)} training cases" + (" are few" if few else "")
    without = f", without {' and '.join(off)}" if off else ""
    return f"The network knows its training cases by heart: {known}{without}."


def _measures(record: Record) -> dict[str, object]:
    """The measures that are not on yet, the most useful first; of all that are, more cases help."""
    measures: dict[str, object] = {}
    if record.run.plan.regularisation.augmentation != "strong":
        measures["augmentation"] = "strong"
    if not _dropout(record):
        measures["dropout"] = 0.2
    return measures or {"fold": "all"}


def _dropout(record: Record) -> float:
    network = record.run.plan.network
    dropout = 0.0 if network is None else network.dropout
    return max(dropout) if isinstance(dropout, tuple) else dropout
