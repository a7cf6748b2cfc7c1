"""The budget of a fit, in minutes or epochs: how much is spent, also over interruptions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

import pytorch_lightning as pl
from torch.optim import Optimizer

from volunet.training.config import TrainingConfig

WARM_UP_STEPS: Final = 30
"""Steps in which the learning rate rises, whatever the budget. A network that starts at the highest
rate learns within a few steps to answer background everywhere, and a small foreground's gradient
does not bring it back."""


class Budget(pl.Callback):
    """Measures how much of the budget is spent, sets the learning rate by it, ends the fit with it.

    The time that was spent is part of the checkpoint: a resumed fit goes on with the rest.

    Args:
        config: Says the budget and the highest learning rate.
        clock: Seconds that only grow.
    """

    def __init__(self, config: TrainingConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._before = 0.0
        self._started: float | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds spent, those before an interruption included."""
        return self._before + (0.0 if self._started is None else self._clock() - self._started)

    def spent(self, trainer: pl.Trainer) -> float:
        """Share of the budget that is spent, 0…1."""
        if self._config.minutes is not None:
            return min(1.0, self.elapsed_s / (60 * self._config.minutes))
        batches = float(trainer.num_training_batches) * (self._config.epochs or 1)
        return min(1.0, trainer.global_step / batches)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = self._clock()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the learning rate for the step to come."""
        optimizer = trainer.optimizers[0]
        rate = self._config.highest_learning_rate * schedule(
            self.spent(trainer), trainer.global_step
        )
        set_learning_rate(optimizer, rate)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """End the fit when the time is over; epochs end by themselves."""
        if self._config.minutes is not None and self.spent(trainer) >= 1.0:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """The time spent, for the checkpoint."""
        return {"elapsed_s": self.elapsed_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's time."""
        self._before = float(state_dict["elapsed_s"])


def schedule(spent: float, step: int) -> float:
    """Learning rate as a share of the highest: a cosine to 0 at the end, after a linear rise.

    Args:
        spent: Share of the budget that is spent, 0…1.
        step: Optimizer steps that are done.

    Source:
        Cosine annealing, https://arxiv.org/abs/1608.03983, without restarts.

    Example:
        >>> [round(schedule(spent, step), 3) for spent, step in ((0, 0), (0.5, 99), (1, 200))]
        [0.033, 0.5, 0.0]
    """
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * spent))


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
