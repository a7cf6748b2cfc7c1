"""What the curves say: divergence, a plateau, too little learnt, an end that came too early."""

from __future__ import annotations

import math
import statistics
from typing import Final

from volunet.diagnosing.answers import OF_LABELS, LeftOut
from volunet.diagnosing.check import Answer, Check
from volunet.diagnosing.command import examine, go_on, train_again
from volunet.diagnosing.finding import Finding
from volunet.diagnosing.probes.material import find_cases, not_finite
from volunet.diagnosing.record import Record, Series
from volunet.training.planning.fit_to_time import FEWEST_STEPS

RISEN: Final = 1.25
"""A loss that ends at so many times its lowest has risen; it is the mean of dozens of batches."""

FLAT: Final = 0.03
"""Share of its own by which a loss that learns falls, over most of a fit, at the least."""

LOW_DICE: Final = 0.5
"""Training Dice below which a network has not learnt its own cases; tiny objects stay there."""

STILL_DICE: Final = 0.02
"""Change of the Dice within which it stands still: about what another seed makes."""

WHOLE: Final = 0.9
"""Share of the schedule beyond which a fit has had it all; the last row comes a bit before it."""

FEWEST_POINTS: Final = 6
"""Figures that a judgement of a curve takes."""

READING_S: Final = 5.0
"""Seconds in which prepared images are searched for values that are not finite: of large scans all
would take minutes."""


def divergence(record: Record) -> Answer:
    """A loss that is no number, or that has risen for good."""
    for name in ("train_loss", "gradient_norm", "val_loss"):
        for step, value in record.metrics.get(name, ()):
            if not math.isfinite(value):
                return _not_finite(record, name, step)
    losses = record.finite("train_loss")
    if len(losses) < FEWEST_POINTS:
        return LeftOut(_too_few(losses))
    means = [statistics.fmean(values) for values in _fifths(losses)]
    start, lowest, end = means[0], min(means), means[-1]
    if end < RISEN * lowest:
        return None
    return Finding(
        "divergence",
        "the training loss",
        f"it was {lowest:.3g} at its lowest fifth and {end:.3g} in the last, having begun with "
        f"{start:.3g}; a healthy loss ends near its lowest.",
        "Steps that are too large throw the network off what it had learnt.",
        train_again(record.started, learning_rate=record.run.config.highest_learning_rate / 10),
        "high" if end > start else "medium",
    )


def plateau(record: Record) -> Answer:
    """A training loss that stood still for most of the fit."""
    losses = record.finite("train_loss")
    if len(losses) < FEWEST_POINTS:
        return LeftOut(_too_few(losses))
    parts = _fifths(losses)
    before, after = statistics.fmean(parts[1]), statistics.fmean(parts[-1])
    fallen = 1 - after / before if before else 0.0
    dice = _last(record.finite("train_dice"))
    if not -FLAT < fallen < FLAT or dice > 0.9:
        return None
    known = "" if math.isnan(dice) else f", at a Dice of {dice:.2f} on training cases"
    return Finding(
        "plateau",
        "the training loss",
        f"from the second fifth of the steps to the last it went from {before:.3g} to "
        f"{after:.3g}{known}; while a network learns it falls by more than {FLAT:.0%}.",
        "The learning rate does not fit, or the network has learnt what it can of these labels.",
        train_again(record.started, learning_rate=_other_rate(record)),
        "medium" if dice < LOW_DICE else "low",
    )


def underfitting(record: Record) -> Answer:
    """A network that has not learnt its training cases, and does not get better."""
    dice = record.finite("train_dice")
    if len(dice) < 3:
        return LeftOut(f"{len(dice)} validations, 3 are needed")
    end = _last(dice)
    gain = end - statistics.fmean(value for _, value in dice[-4:-2] or dice[:1])
    if end >= LOW_DICE or abs(gain) > STILL_DICE:
        return None
    cause, changes = _what_holds_it_down(record)
    return Finding(
        "underfitting",
        "the training cases",
        f"Dice {end:.2f} on training cases at the end, {gain:+.3f} over the last validations; a "
        f"network that fits is above {LOW_DICE:g} on cases that it trains on.",
        cause,
        train_again(record.started, **changes),
        "medium",
    )


def stopped_too_early(record: Record) -> Answer:
    """A fit that ended while it still learnt."""
    losses = record.finite("train_loss")
    if len(losses) < FEWEST_POINTS:
        return LeftOut(_too_few(losses))
    parts = _fifths(losses)
    before, after = statistics.fmean(parts[-2]), statistics.fmean(parts[-1])
    fallen = 1 - after / before if before else 0.0
    gain = _gain(record)
    # Without validation the loss alone says it, which falls by itself as the steps become smaller.
    learns = fallen >= 3 * FLAT if gain is None else gain >= STILL_DICE / 2
    gained = ""
    if gain is not None:
        gained = (
            f"the validation {record.score.title} changed by {gain:+.3f} over the last third of "
            "the steps, and "
        )
    spent = spent_share(record)
    if spent < WHOLE:
        return _cut_short(record, spent, fallen, gained) if learns or fallen >= FLAT else None
    if not learns:
        return None
    minutes, epochs = record.started.config.minutes, record.started.config.epochs
    much = gain is not None and gain >= 2 * STILL_DICE
    return Finding(
        "stopped-too-early",
        f"step {record.steps}",
        f"{gained}the loss changed by {-fallen:+.0%} from the last but one fifth of its "
        f"{record.steps} steps to the last; a fit that had enough stands still at its end.",
        "The budget is short for this network"
        + (
            f": {FEWEST_STEPS} steps are the fewest that teach one."
            if record.steps < FEWEST_STEPS
            else "."
        ),
        train_again(
            record.started,
            minutes=None if minutes is None else 3 * minutes,
            epochs=None if epochs is None else 3 * epochs,
        ),
        "medium" if much else "low",
    )


CHECKS: Final = (
    Check("divergence", divergence, columns=("train_loss",)),
    Check("underfitting", underfitting, columns=("train_dice",), tasks=OF_LABELS),
    Check("plateau", plateau, columns=("train_loss",)),
    Check("stopped-too-early", stopped_too_early, columns=("train_loss", "learning_rate")),
)


def spent_share(record: Record) -> float:
    """Share of the learning rate's cosine that the fit went along, 0…1."""
    rates = record.values("learning_rate")
    highest = record.run.config.highest_learning_rate
    share = min(1.0, rates[-1] / highest) if rates else 1.0
    return math.acos(2 * share - 1) / math.pi


def _cut_short(record: Record, spent: float, fallen: float, gained: str) -> Finding:
    patience = record.run.plan.regularisation.patience
    if patience and _without_gain(record) >= patience:
        times = "validation" if patience == 1 else "validations"
        title = record.score.title
        cause = f"{patience} {times} without a better {title} ended it, which is too few."
        change = train_again(record.started, patience=max(10, 3 * patience))
    else:
        cause = "It was interrupted."
        change = go_on(record.started)
    return Finding(
        "stopped-too-early",
        f"step {record.steps}",
        f"it ended after {spent:.0%} of its learning rate's schedule; {gained}the loss fell by "
        f"{fallen:.0%} over the last fifth of its steps; a whole schedule ends at a rate of 0.",
        cause,
        change,
        "high" if spent < 0.5 else "medium",
    )


def _gain(record: Record) -> float | None:
    """What the validation score gained over the last third of the steps.

    None without validation, and of scores that have no limits: by them no gain is small or large.
    """
    scores = record.finite(record.score.validation)
    if len(scores) < 2 or None in record.score.limits:
        return None
    before = [value for step, value in scores if step <= 2 / 3 * scores[-1][0]] or [scores[0][1]]
    return scores[-1][1] - before[-1]


def _without_gain(record: Record) -> int:
    """Validations since that with the best score."""
    scores = record.values(record.score.validation)
    best = max if record.score.higher_is_better else min
    return len(scores) - 1 - scores.index(best(scores)) if scores else 0


def _not_finite(record: Record, name: str, step: int) -> Finding:
    prepared = find_cases(record.run, record.run.training)
    cases, looked_at = not_finite(prepared, READING_S)
    seen = f"{looked_at} of {len(prepared)}"
    found = (
        f" The prepared images of {', '.join(cases[:5])} hold values that are not finite, or are "
        f"damaged ({seen} were looked at)."
        if cases
        else f" No such value is in the prepared images that were looked at, {seen}."
        if prepared
        else ""
    )
    return Finding(
        "divergence",
        f"step {step}",
        f"{name.replace('_', ' ')} is no finite number at step {step}.{found}",
        "Intensities that are not finite."
        if cases
        else "A learning rate that is too high, or a loss that divides by 0 or takes the logarithm "
        "of 0.",
        examine(record.run.dataset)
        if cases
        else train_again(
            record.started,
            learning_rate=record.run.config.highest_learning_rate / 10,
            precision="float32",
        ),
        "high",
        tuple(cases),
    )


def _what_holds_it_down(record: Record) -> tuple[str, dict[str, object]]:
    plan = record.run.plan
    network = plan.network
    dropouts = (0.0,) if network is None else network.dropout
    dropout = max(dropouts) if isinstance(dropouts, tuple) else dropouts
    if dropout >= 0.3:
        return f"Dropout of {dropout:g} leaves too little of the network.", {"dropout": 0.0}
    if plan.regularisation.l1:
        return "The penalty on absolute weights keeps them too small.", {"l1": 0.0}
    if network is not None and network.features[0] < 16:
        wider = tuple(2 * channels for channels in network.features)
        return f"{network.features[0]} channels on top are too few.", {"features": wider}
    return "The fit is too short for the network, or its learning rate does not fit.", {
        "learning_rate": _other_rate(record)
    }


def _other_rate(record: Record) -> float:
    """The rate that the range test advises, or a third of the run's."""
    rates = record.probed.rates
    if rates is not None:
        return rates.advice
    return float(f"{record.run.config.highest_learning_rate / 3:.1g}")


def _fifths(series: Series) -> list[list[float]]:
    """Five parts of a figure's values, as many rows in each."""
    values = [value for _, value in series]
    return [values[len(values) * k // 5 : len(values) * (k + 1) // 5] for k in range(5)]


def _last(series: Series) -> float:
    """Mean of the last two values; NaN of none."""
    values = [value for _, value in series[-2:]]
    return statistics.fmean(values) if values else math.nan


def _too_few(series: Series) -> str:
    return f"{len(series)} rows with a loss, {FEWEST_POINTS} are needed"
