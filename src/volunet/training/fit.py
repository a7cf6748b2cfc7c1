"""`fit`: a data set and a configuration → a run folder. The loop is pytorch-lightning's."""

from __future__ import annotations

import csv
import logging
import math
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from volunet.datasets.cache import PreparedCase
from volunet.datasets.patches import ConsecutiveSampler, TrainingPatches, ValidationPatches
from volunet.training.budget import Budget
from volunet.training.callbacks import Report, ShowProgress, StopOnInterrupt
from volunet.training.checkpoints import (
    BestWeights,
    SafeCheckpointIO,
    last_checkpoint,
    read_checkpoint,
)
from volunet.training.config import TrainingConfig
from volunet.training.module import SegmentationModule
from volunet.training.run_folder import LAST_FILE, METRICS_FILE, Run

_log = logging.getLogger(__name__)

VALIDATIONS: Final = 12
"""Validations in a budget of minutes."""

SHORTEST_INTERVAL_S: Final = 10.0
"""Seconds between validations at the least, however short the budget."""

MAX_VALIDATION_CASES: Final = 24
"""Validation cases that are looked at during the fit; more would only cost time."""

GRADIENT_NORM: Final = 12.0
"""Gradients are clipped to it; an outlier patch would otherwise throw the weights far off."""


@dataclass(frozen=True)
class FitResult:
    """How a fit ended.

    Attributes:
        steps: Optimizer steps in all.
        best_dice: Best validation Dice, NaN without validation.
        elapsed_s: Seconds of fitting in all, those before an interruption included.
        interrupted: Whether Ctrl-C ended it.
    """

    steps: int
    best_dice: float
    elapsed_s: float
    interrupted: bool


def fit(
    run: Run,
    training: Sequence[PreparedCase],
    validation: Sequence[PreparedCase],
    *,
    resume: bool = False,
    report: Report | None = None,
) -> FitResult:
    """Fit the network of a run.

    Args:
        run: The run, whose folder exists.
        training: Training cases on the model's grid.
        validation: Validation cases, which may be none.
        resume: Go on from the run's last checkpoint.
        report: Told how it goes, see `volunet.training.callbacks.Report`.

    Raises:
        ConfigError: The checkpoint to resume from is missing, damaged or not safe to read.
    """
    config = run.config
    pl.seed_everything(config.seed, verbose=False)
    budget = Budget(config)
    best = BestWeights(run.folder)
    interrupt = StopOnInterrupt()
    module = SegmentationModule(run.plan, config)
    loaders = _Loaders(run, training, validation)
    last_step: int | None = None
    if resume:
        checkpoint = read_checkpoint(run.folder / LAST_FILE)
        last_step = int(checkpoint["global_step"])
        # The next patch after the last step, so that a resumed fit repeats none.
        loaders.sampler.next_index = last_step * run.plan.batch_size
    with _quiet(), interrupt:
        trainer = pl.Trainer(
            max_epochs=config.epochs if config.epochs is not None else -1,
            callbacks=[
                budget,
                interrupt,
                # Behind the two that end a fit, as it saves the state where they do.
                best,
                *_early_stopping(config, bool(validation)),
                last_checkpoint(run.folder),
                ShowProgress(run.folder, budget, report),
            ],
            logger=[
                _csv_logger(run, last_step),
                TensorBoardLogger(run.folder, name="", version="tensorboard"),
            ],
            plugins=[SafeCheckpointIO()],
            gradient_clip_val=GRADIENT_NORM,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            enable_progress_bar=False,
            enable_model_summary=False,
            **_validation_times(run, bool(validation)),
        )
        trainer.fit(
            module,
            loaders.training(),
            loaders.validation() if validation else None,
            ckpt_path=run.folder / LAST_FILE if resume else None,
            weights_only=True,
        )
        # The last weights have had the whole schedule; they are not to be missed.
        if validation and best.validated_at != trainer.global_step:
            trainer.validate(module, loaders.validation(), verbose=False)
    return FitResult(
        steps=trainer.global_step,
        best_dice=best.best_dice if best.best_dice >= 0 else math.nan,
        elapsed_s=budget.elapsed_s,
        interrupted=interrupt.interrupted,
    )


class _Loaders:
    """The data loaders of a run."""

    def __init__(
        self, run: Run, training: Sequence[PreparedCase], validation: Sequence[PreparedCase]
    ) -> None:
        self._run = run
        self._training = TrainingPatches(training, run.plan, run.config.seed)
        self._validation = ValidationPatches(validation[:MAX_VALIDATION_CASES], run.plan)
        batch_size = run.plan.batch_size
        steps = -(-len(training) // batch_size)
        self.sampler = ConsecutiveSampler(steps * batch_size)

    def training(self) -> DataLoader[Any]:
        """Batches of augmented patches."""
        workers = self._run.config.workers
        return DataLoader(
            self._training,
            batch_size=self._run.plan.batch_size,
            sampler=self.sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_ignore_interrupt,
        )

    def validation(self) -> DataLoader[Any]:
        """Validation patches, one at a time."""
        return DataLoader(self._validation, batch_size=1)


def _early_stopping(config: TrainingConfig, has_validation: bool) -> list[pl.Callback]:
    if not config.patience:
        return []
    if not has_validation:
        _log.warning("Nothing validates, so that patience %d has no effect.", config.patience)
        return []
    return [EarlyStopping("val_dice", mode="max", patience=config.patience)]


def _csv_logger(run: Run, last_step: int | None) -> CSVLogger:
    """The logger of ``metrics.csv``; a fit that goes on keeps the rows up to its last step."""
    rows: list[dict[str, str]] = []
    file = run.folder / METRICS_FILE
    if last_step is not None and file.is_file():
        with file.open(encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if int(row["step"]) <= last_step]
    logger = CSVLogger(run.folder, name="", version="")
    for row in rows:
        figures: dict[str, Tensor | float] = {
            name: int(value) if name == "epoch" else float(value)
            for name, value in row.items()
            if value and name != "step"
        }
        logger.log_metrics(figures, step=int(row["step"]))
    return logger


def _ignore_interrupt(_worker: int) -> None:
    # Ctrl-C reaches the whole process group; the main process ends the fit and needs its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _validation_times(run: Run, has_validation: bool) -> dict[str, Any]:
    """When to validate: some times in a budget of minutes, else at ends of epochs."""
    if not has_validation:
        return {"limit_val_batches": 0}
    if run.config.minutes is not None:
        seconds = max(SHORTEST_INTERVAL_S, 60 * run.config.minutes / VALIDATIONS)
        return {
            "val_check_interval": timedelta(seconds=seconds),
            "check_val_every_n_epoch": None,
        }
    return {"check_val_every_n_epoch": max(1, (run.config.epochs or 1) // 50)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's banners and hints off the log; our own messages say what matters."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
