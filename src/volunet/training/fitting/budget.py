"""The budget of a training, in minutes or epochs: how much is spent, also over interruptions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

import pytorch_lightning as pl
from torch.optim import Optimizer

from volunet.training.config import TrainingConfig
from volunet.training.fitting.processes import agree_any, agree_first

WARM_UP_STEPS: Final = 30
"""Steps in which the learning rate rises, whatever the budget. A network that starts at the highest
rate learns within a few steps to answer background everywhere, and a small foreground's gradient
does not bring it back."""

VALIDATIONS: Final = 12
"""Validations of a fit in minutes."""

SHORTEST_INTERVAL_S: Final = 5.0
"""Seconds between validations at the least, however short the budget."""

FADING: Final = 0.2
"""Share of the fit, its last, in which augmentation fades."""

MARGIN: Final = 1.2
"""The last validation is given so many times what the one before it took."""

CLOSING_S: Final = 1.0
"""Seconds for what follows the last validation: the last state, the weights and the curve."""

_MEMORY: Final = 0.8
"""How much of the running mean of a step's time is kept at each step: about five steps' worth, so
that a machine that slows down is noticed within them."""


class Budget(pl.Callback):
    """Measures how much of the budget is spent, sets the learning rate by it, ends the fit with it.

    Minutes count everything from `begun` on. The fit's steps end early enough for one more
    validation: as long as the last took, times what steps have become slower since. The time that
    was spent is part of the checkpoint: a resumed fit goes on with the rest.

    Args:
        config: Says the budget and the highest learning rate.
        begun: When the training began, in `clock`'s seconds; None: with the fit.
        before_s: Seconds that were spent before, of a run that goes on without a checkpoint.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        config: TrainingConfig,
        begun: float | None = None,
        before_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._clock = clock
        self._begun = begun
        self._before = before_s
        self._prepared_s: float | None = None
        self._step_began: float | None = None
        self._step_s = 0.0
        self._validation_began: float | None = None
        self._validation_s = 0.0
        self._step_s_at_validation = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds spent, those before an interruption included."""
        return self._before + (0.0 if self._begun is None else self._clock() - self._begun)

    @property
    def reserve_s(self) -> float:
        """Seconds that the steps leave for the last validation and the closing."""
        slower = max(1.0, self._step_s / (self._step_s_at_validation or self._step_s or 1.0))
        closing = min(CLOSING_S, 0.01 * 60 * (self._config.minutes or math.inf))
        return MARGIN * self._validation_s * slower + closing

    def spent(self, trainer: pl.Trainer) -> float:
        """Share of the fit that is done, 0…1: of its steps' time, or of its epochs."""
        if self._config.minutes is not None:
            prepared = self._prepared_s or 0.0
            whole = 60 * self._config.minutes - self.reserve_s - prepared
            return min(1.0, (self.elapsed_s - prepared) / whole) if whole > 0 else 1.0
        batches = float(trainer.num_training_batches) * (self._config.epochs or 1)
        return min(1.0, trainer.global_step * self._config.accumulate / batches)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, if it does not run yet; what was spent until now was preparation."""
        if self._begun is None:
            self._begun = self._clock()
        if self._prepared_s is None:
            self._prepared_s = self.elapsed_s

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End a resumed fit whose time is over; a new one makes its step, so that there is one."""
        if trainer.global_step > 0:
            self._end_in_time(trainer)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Set the learning rate for the step to come."""
        self._step_began = self._clock()
        spent = agree_first(self.spent(trainer))
        rate = self._config.highest_learning_rate * schedule(spent, trainer.global_step)
        set_learning_rate(trainer.optimizers[0], rate)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """End the fit when the time for steps is over; epochs end by themselves."""
        if self._step_began is not None:
            taken = self._clock() - self._step_began
            self._step_s = _MEMORY * self._step_s + (1 - _MEMORY) * taken if self._step_s else taken
        self._end_in_time(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start to measure a validation."""
        self._validation_began = self._clock()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note how long the validation took, and how long steps were then."""
        if self._validation_began is not None:
            self._validation_s = self._clock() - self._validation_began
            self._step_s_at_validation = self._step_s

    def _end_in_time(self, trainer: pl.Trainer) -> None:
        # Half a step early on the average is half a step late at the worst.
        left = 60 * (self._config.minutes or math.inf) - self.elapsed_s - self.reserve_s
        if agree_any(left < 0.5 * self._step_s):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """The time spent, for the checkpoint."""
        return {
            "elapsed_s": self.elapsed_s,
            "prepared_s": self._prepared_s,
            "validation_s": self._validation_s,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's time."""
        self._before = float(state_dict["elapsed_s"])
        self._prepared_s = state_dict["prepared_s"]
        self._validation_s = float(state_dict["validation_s"])


def schedule(spent: float, step: int) -> float:
    """Learning rate as a share of the highest: a cosine to 0 at the end, after a linear rise.

    Args:
        spent: Share of the fit that is done, 0…1.
        step: Optimizer steps that are done.

    Source:
        Cosine annealing, https://arxiv.org/abs/1608.03983, without restarts.

    Example:
        >>> [round(schedule(spent, step), 3) for spent, step in ((0, 0), (0.5, 99), (1, 200))]
        [0.033, 0.5, 0.0]
    """
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * spent))


def augmented_share(spent: float) -> float:
    """Share of the training patches that are augmented: all, until it falls to 0 at the end.

    The last steps, which are small, then see what the network is for: scans as they are.

    Args:
        spent: Share of the fit that is done, 0…1.

    Source:
        He et al. 2019, https://arxiv.org/abs/1909.09148: to refine a network without augmentation.

    Example:
        >>> [round(augmented_share(spent), 2) for spent in (0, 0.8, 0.9, 1)]
        [1.0, 1.0, 0.5, 0.0]
    """
    return min(1.0, (1.0 - spent) / FADING)


def validation_interval_s(fit_s: float) -> float:
    """Seconds from one validation to the next, of a fit that is given so many."""
    return max(SHORTEST_INTERVAL_S, fit_s / VALIDATIONS)


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
