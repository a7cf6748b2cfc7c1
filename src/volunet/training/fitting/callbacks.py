"""What ends a fit early, and what shows how it goes."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import CSVLogger

from volunet.datasets.patches import TrainingPatches
from volunet.plan import ValidationScore
from volunet.training.fitting.budget import Budget, augmented_share
from volunet.training.fitting.processes import agree_any, agree_first, process_rank
from volunet.training.record.curve import draw_curve

_log = logging.getLogger(__name__)

Report = Callable[[float, dict[str, float]], None]
"""Told the share of the budget that is spent and the newest figures."""

SHOWN: Final[tuple[str, ...]] = ("train_loss", "val_loss")
"""Figures that are shown as a fit goes; all others are in ``metrics.csv``."""

NEVER: Final = sys.maxsize
"""Batches between validations that no fit has."""


class StopOnInterrupt(pl.Callback):
    """The first Ctrl-C ends the fit after the batch under way, the second at once.

    It holds SIGINT as a context around the fit, not by the fit's own hooks: Lightning notes the
    handlers after ``on_fit_start`` and puts them back after ``on_fit_end``.
    """

    def __init__(self) -> None:
        self._previous: Any = None
        self.interrupted = False

    def __enter__(self) -> Self:
        try:
            self._previous = signal.signal(signal.SIGINT, self._stop)
        except ValueError:  # not in the main thread: whoever owns it handles SIGINT
            self._previous = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """End the fit here, where the callbacks that follow can still save its state."""
        if agree_any(self.interrupted):
            trainer.should_stop = True

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        _log.warning("Interrupted: ending after this batch; once more to end at once.")


class ValidateInTime(pl.Callback):
    """Validates each time that so many seconds have gone since the last validation.

    By the first process' clock: with Lightning's own each looks at its own, and one that validates
    while another steps waits for ever.

    Args:
        interval_s: The seconds.
        clock: Seconds that only grow.
    """

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._last = clock()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count."""
        self._last = self._clock()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Have Lightning, which looks next, validate after each batch or after none."""
        is_due = agree_first(float(self._clock() - self._last >= self._interval_s))
        trainer.val_check_batch = 1 if is_due else NEVER

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count anew."""
        self._last = self._clock()


class EndWithPatience(EarlyStopping):
    """Ends a fit after validations without a better score.

    A fit that it had ended, and that goes on all the same, has all its patience again.

    Args:
        patience: Validations in a row.
        score: The score.
    """

    def __init__(self, patience: int, score: ValidationScore) -> None:
        mode = "max" if score.higher_is_better else "min"
        super().__init__(score.validation, mode=mode, patience=patience)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's count."""
        super().load_state_dict(state_dict)
        if self.wait_count >= self.patience:
            self.wait_count = 0
            _log.warning("The fit had ended as its patience was over; it has all of it again.")


class FadeAugmentation(pl.Callback):
    """Has ever more patches stay as they are towards the end of the budget.

    Args:
        budget: Knows how much is spent.
        patches: The training patches.
    """

    def __init__(self, budget: Budget, patches: TrainingPatches) -> None:
        self._budget = budget
        self._patches = patches

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Set the share for the patches that are yet to be made."""
        self._patches.set_augmented_share(augmented_share(self._budget.spent(trainer)))


class ShowProgress(pl.Callback):
    """Tells a report function how the fit goes, and draws the curve after each validation.

    Args:
        folder: The run folder.
        budget: Knows how much is spent.
        score: The task's score.
        report: Called after each batch and each validation; None: only the curve is drawn.
    """

    def __init__(
        self, folder: Path, budget: Budget, score: ValidationScore, report: Report | None
    ) -> None:
        self._folder = folder
        self._score = score
        self._budget = budget
        self._report = report

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Report the loss."""
        self._tell(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the score, and draw the curve so far."""
        self._tell(trainer)
        self._draw(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the whole curve, of a fit without validation too."""
        self._draw(trainer)

    def _tell(self, trainer: pl.Trainer) -> None:
        if self._report:
            figures = {
                name: float(trainer.callback_metrics[name])
                for name in (*SHOWN, self._score.validation, self._score.training)
                if name in trainer.callback_metrics
            }
            self._report(self._budget.spent(trainer), figures)

    def _draw(self, trainer: pl.Trainer) -> None:
        if process_rank():
            return
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger):
                logger.save()
                draw_curve(Path(logger.experiment.metrics_file_path), self._folder, self._score)
