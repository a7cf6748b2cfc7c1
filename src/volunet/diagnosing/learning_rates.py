"""Is the learning rate too high or too low? The range test says, and curve and layers witness."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.check import Answer, Check
from volunet.diagnosing.command import train_again
from volunet.diagnosing.finding import Finding
from volunet.diagnosing.record import LayerSample, Record
from volunet.training.fitting.budget import WARM_UP_STEPS
from volunet.training.record.run_folder import LAYERS_FILE

FEWEST_ROWS: Final = 3
"""Rows with a finite loss that a judgement of it takes."""

HARDLY_FELL: Final = 0.1
"""Share of its first value by which the loss fell at the most, of a network that hardly learnt."""

FEWEST_JUDGED: Final = 2 * WARM_UP_STEPS
"""Steps before which a network has hardly learnt at any rate."""

FAR_BEYOND: Final = 3.0
"""A rate is surely too high beyond so many times the range test's limit: the test has few steps."""

FAR_BELOW: Final = 10.0
"""A rate is low below the rate that teaches by this factor: rates between only take longer."""

HARDLY_MOVED: Final = 0.05
"""What the weights of a layer moved over all the fit, as a share of theirs; usual is 1 to 3."""

STOOD_STILL: Final = 0.01
"""The same, so little that no range test need confirm it."""

THROWN: Final = 0.2
"""What weights moved between samples, as a share of theirs, by the root of the steps between. Above
that they were thrown about. By the root, as steps add up as those of a random walk do: healthy fits
of 7 to 170 steps a sample come to 0.02 to 0.09, with L1 to 0.17. Of samples far apart nothing is
seen, as a share of more than 1 hardly comes about."""

USUAL_PACE: Final = 0.1
"""The same of healthy fits without L1, at the most."""

RISEN: Final = 1.5
"""A training loss that was so many times its first was thrown up."""

FAR_OFF: Final = 5.0
"""A validation loss of so many times the highest training loss is of averages, those of batch norm
and of the weights, over networks that have nothing in common."""

EXPLODED: Final = 10.0
"""Growth of a weight's norm in the first `GROWTH_STEPS` steps; usual is 1 to 3."""

GROWTH_STEPS: Final = 1000
"""Norms of healthy weights grow for as long as the rate is high, too: to 3 times in 2,000 steps."""


def learning_rate_too_high(record: Record) -> Answer:
    """A rate that throws the network off."""
    rates = record.probed.rates
    if rates is None and not record.layers:
        return LeftOut(f"range test: {record.probed.reason}; and no {LAYERS_FILE}")
    used = record.run.config.highest_learning_rate
    limit = math.inf if rates is None or rates.limit is None else rates.limit
    evidence = [*_thrown_weights(record), *_risen_losses(record)]
    witnesses = len(evidence)
    if used < limit and witnesses < 2:
        return None
    if rates is not None:
        thrown = "does not throw" if limit == math.inf else f"at {limit:.1g} throws"
        evidence.append(
            f"a range test {thrown} a fresh network off and works best at {rates.best:.1g}; the "
            f"fit went up to {used:g}"
        )
    sure = witnesses > 2 or (witnesses > 0 and used >= FAR_BEYOND * limit)
    return Finding(
        "learning-rate-too-high",
        f"--learning-rate {used:g}",
        "; ".join(evidence) + ".",
        "Steps overshoot: they throw away what was learnt.",
        train_again(record.started, learning_rate=_lower(record)),
        "high" if sure else "medium" if witnesses else "low",
    )


def learning_rate_too_low(record: Record) -> Answer:
    """A rate at which the network hardly moves."""
    rates = record.probed.rates
    used = record.run.config.highest_learning_rate
    fallen = _fallen(record)
    if fallen is None:
        return LeftOut(f"fewer than {FEWEST_ROWS} rows with a finite loss")
    if record.steps < FEWEST_JUDGED:
        return LeftOut(f"{record.steps} steps, {FEWEST_JUDGED} are needed")
    moved = _moved(record)
    if fallen >= HARDLY_FELL or (moved is not None and moved >= HARDLY_MOVED):
        return None
    evidence = [f"the training loss fell by {fallen:.1%} in {record.steps} steps"]
    if moved is not None:
        evidence.append(
            f"the layers' weights moved by {moved:.2%} of theirs in all (usual: 100 to 300 %)"
        )
    if rates is None:
        if moved is None:
            return LeftOut(
                f"range test: {record.probed.reason}; and no movement of a layer is known"
            )
    elif used * FAR_BELOW > rates.best or rates.fall < 2 * HARDLY_FELL:
        return None
    else:
        evidence.append(
            f"a range test took a fresh network's loss down by {rates.fall:.0%} in "
            f"{len(rates.rates)} steps and works best at {rates.best:.1g}; the fit went up to "
            f"{used:g}"
        )
    return Finding(
        "learning-rate-too-low",
        f"--learning-rate {used:g}",
        "; ".join(evidence) + ".",
        "Steps are too small to get anywhere in the time.",
        train_again(record.started, learning_rate=10 * used if rates is None else rates.advice),
        "high" if rates is not None or (moved is not None and moved < STOOD_STILL) else "medium",
    )


CHECKS: Final = (
    Check("learning-rate-too-high", learning_rate_too_high, columns=("train_loss",)),
    Check("learning-rate-too-low", learning_rate_too_low, columns=("train_loss",)),
)


def _lower(record: Record) -> float | None:
    """A rate below the run's: the range test's, else the optimizer's own, which None stands for."""
    config = record.run.config
    used = config.highest_learning_rate
    if record.probed.rates is not None:
        return float(f"{min(used / 3, record.probed.rates.advice):.1g}")
    own = replace(config, learning_rate=None).highest_learning_rate
    return None if own < used else used / 10


def _fallen(record: Record) -> float | None:
    """Share of its first value by which the training loss fell."""
    losses = record.values("train_loss")
    if len(losses) < FEWEST_ROWS or losses[0] <= 0:
        return None
    return 1 - statistics.fmean(losses[-2:]) / losses[0]


def _moved(record: Record) -> float | None:
    """What a layer's weights moved in all, as a share of theirs, the median over the layers."""
    sums = [sum(moves) for samples in record.layers.values() if (moves := _moves(samples))]
    return statistics.median(sums) if sums else None


def _thrown_weights(record: Record) -> list[str]:
    fastest = [max(moves) for samples in record.layers.values() if (moves := _paces(samples))]
    growths = [_growth(samples) for samples in record.layers.values()]
    words = []
    if fastest and (typical := statistics.median_low(fastest))[0] > THROWN:
        _, moved, steps = typical
        words.append(
            f"weights moved by {moved:.0%} of theirs in {steps} steps (usual: up to "
            f"{USUAL_PACE * math.sqrt(steps):.0%})"
        )
    if growths and (growth := statistics.median(growths)) > EXPLODED:
        words.append(
            f"they grew to {growth:.0f} times their first norm within {GROWTH_STEPS} steps (usual: "
            "1 to 3)"
        )
    return words


def _risen_losses(record: Record) -> list[str]:
    losses = record.values("train_loss")
    if len(losses) < FEWEST_ROWS:
        return []
    words = []
    if max(losses) > RISEN * losses[0]:
        words.append(f"the training loss went up from {losses[0]:.3g} to {max(losses):.3g}")
    highest = max(record.values("val_loss"), default=0.0)
    if highest > FAR_OFF * max(losses):
        words.append(
            f"the validation loss was {highest:.3g}, the training loss never above "
            f"{max(losses):.3g}"
        )
    return words


def _moves(samples: Sequence[LayerSample]) -> list[float]:
    return [sample.update_ratio for sample in samples if sample.update_ratio is not None]


def _paces(samples: Sequence[LayerSample]) -> list[tuple[float, float, int]]:
    """Of each interval what a layer moved by the root of the steps, what in all, and the steps."""
    paces = []
    for before, after in itertools.pairwise(samples):
        if after.update_ratio is not None:
            steps = max(1, after.step - before.step)
            paces.append((after.update_ratio / math.sqrt(steps), after.update_ratio, steps))
    return paces


def _growth(samples: Sequence[LayerSample]) -> float:
    first = samples[0].weight_norm
    early = [sample.weight_norm for sample in samples if sample.step <= GROWTH_STEPS]
    return max(early, default=first) / first if first else 1.0
