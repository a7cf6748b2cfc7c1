"""Whether the network can learn at all: what the probe on one batch says."""

from __future__ import annotations

import math
from typing import Final

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.check import Answer, Check
from volunet.diagnosing.command import train_again
from volunet.diagnosing.finding import Finding
from volunet.diagnosing.probes.one_batch import ENOUGH, LEARNING_RATE
from volunet.diagnosing.record import Record


def cannot_overfit_one_batch(record: Record) -> Answer:
    """A network that does not learn even one batch by heart."""
    trial = record.probed.one_batch
    if trial is None:
        return LeftOut(record.probed.reason)
    if trial.learns:
        return None
    if not trial.finished:
        return LeftOut(f"{trial.steps} steps fitted into the time of the probe")
    left = f"{trial.share:.0%} was left"
    if math.isnan(trial.share):
        left = "it was no finite number"
    return Finding(
        "cannot-overfit-one-batch",
        "the network and the loss",
        f"trained on one batch alone, AdamW at {LEARNING_RATE:g}, the loss began "
        f"{trial.loss_before:.3g} above that of a perfect answer, and after {trial.steps} steps "
        f"{left}; a network that fits its task comes below {ENOUGH:.0%}.",
        "Network, loss and labels do not fit together, or the network is far too small or too "
        "strongly regularised.",
        train_again(record.started, preset="auto", norm=None, dropout=None, loss=None),
        "high",
    )


CHECKS: Final = (Check("cannot-overfit-one-batch", cannot_overfit_one_batch),)
