"""`fit`: cases and a configuration → a run folder. The loop is pytorch-lightning's."""

from __future__ import annotations

import csv
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from volunet.datasets.cache import PreparedCase
from volunet.errors import TrainingError, VolunetError
from volunet.plan import Plan
from volunet.requests import Precision
from volunet.tasks.objective import objective_of
from volunet.training.device import is_out_of_memory, training_device
from volunet.training.fitting.averaging import AveragedWeights
from volunet.training.fitting.budget import Budget, validation_interval_s
from volunet.training.fitting.callbacks import (
    NEVER,
    EndWithPatience,
    FadeAugmentation,
    Report,
    ShowProgress,
    StopOnInterrupt,
    ValidateInTime,
)
from volunet.training.fitting.checkpoints import (
    BestWeights,
    SafeCheckpointIO,
    last_checkpoint,
    read_checkpoint,
)
from volunet.training.fitting.loaders import Loaders, worker_errors
from volunet.training.fitting.module import FittedModule
from volunet.training.fitting.processes import local_processes, num_processes
from volunet.training.fitting.telemetry import GRADIENT_NORM, LayerTelemetry, Telemetry
from volunet.training.record.metrics_log import MetricsLogger
from volunet.training.record.run_folder import LAST_FILE, METRICS_FILE, Run
from volunet.volumes.disk import is_full, unwritable

_log = logging.getLogger(__name__)

_LIGHTNING_PRECISION: Final[dict[Precision, Any]] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
}


@dataclass(frozen=True)
class FitResult:
    """How a fit ended.

    Attributes:
        steps: Optimizer steps in all.
        best_score: Best validation score (`volunet.plan.Task.score`), NaN without validation.
        elapsed_s: Seconds in all, those before an interruption included.
        waiting_share: Share of the fit's time that steps waited for patches.
        interrupted: Whether Ctrl-C ended it.
    """

    steps: int
    best_score: float
    elapsed_s: float
    waiting_share: float
    interrupted: bool


def fit(
    run: Run,
    training: Sequence[PreparedCase],
    validation: Sequence[PreparedCase],
    *,
    begun: float | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> FitResult:
    """Fit the network of a run.

    Args:
        run: The run, whose folder exists.
        training: Training cases on the model's grid.
        validation: Validation cases, which may be none.
        begun: When the budget's clock began, in `time.monotonic`'s seconds; None: now.
        resume: Go on from the run's last checkpoint; a run that has none begins anew.
        report: Told how it goes, see `volunet.training.fitting.callbacks.Report`.

    Raises:
        ConfigError: The checkpoint to resume from is damaged or not safe to read.
        OutputError: The disk is full.
        TrainingError: The loss or a gradient is not finite, or a worker was ended.
        VolunetError: What a worker met, with the file.
    """
    config = run.config
    # Without a checkpoint the fit begins anew, but what preparing took is spent.
    before_s = run.prepared_s if resume else 0.0
    resume = resume and (run.folder / LAST_FILE).is_file()
    pl.seed_everything(config.seed, verbose=False)
    module = FittedModule(run.plan, config)
    loaders = Loaders(
        run.plan,
        training,
        validation,
        seed=config.seed,
        workers=config.workers,
        accumulate=config.accumulate,
        by_epochs=config.epochs is not None,
        looked_at=config.validation_cases,
    )
    validates = bool(validation) and objective_of(run.plan).can_validate(
        (case.places()[:, 0] for case in training),
        (loaders.looked_at[index]["target"] for index in range(len(loaders.looked_at))),
    )
    score = run.plan.task.score
    budget = Budget(config, begun, before_s)
    averaged = AveragedWeights()
    best = BestWeights(run.folder, averaged, score)
    telemetry = Telemetry(budget, loaders.training)
    interrupt = StopOnInterrupt()
    last_step: int | None = None
    if resume:
        state = read_checkpoint(run.folder / LAST_FILE)
        last_step = int(state["global_step"])
        # The patch after those that are done, so that a resumed fit repeats none and leaves none
        # out. Not by the steps: Ctrl-C may come between two batches of one step.
        batches = state["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"]
        loaders.sampler.next_index = batches * run.plan.batch_size * num_processes()
    with _quiet(), interrupt, worker_errors(), _own_errors(run.folder):
        trainer = pl.Trainer(
            max_epochs=config.epochs if config.epochs is not None else -1,
            callbacks=[
                budget,
                FadeAugmentation(budget, loaders.patches),
                interrupt,
                telemetry,
                LayerTelemetry(run.folder, budget, last_step),
                averaged,
                # Behind the averaging and those that end a fit, as it saves the state where they
                # do.
                best,
                *_early_stopping(run.plan, validates),
                *_validations(run, validates),
                last_checkpoint(run.folder),
                ShowProgress(run.folder, budget, score, report),
            ],
            logger=[
                _metrics_logger(run, last_step),
                TensorBoardLogger(run.folder, name="", version="tensorboard"),
            ],
            plugins=[SafeCheckpointIO()],
            precision=_LIGHTNING_PRECISION[config.precision],
            accumulate_grad_batches=config.accumulate,
            gradient_clip_val=GRADIENT_NORM,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            **_devices(),
            **_validation_times(run, validates),
        )
        trainer.fit(
            module,
            loaders.training,
            loaders.validation if validates else None,
            ckpt_path=run.folder / LAST_FILE if resume else None,
            weights_only=True,
        )
        # The last weights have had the whole schedule; they are not to be missed.
        if validates and best.validated_at != trainer.global_step:
            trainer.validate(module, loaders.validation, verbose=False)
    return FitResult(
        steps=trainer.global_step,
        best_score=math.nan if best.best_score is None else best.best_score,
        elapsed_s=budget.elapsed_s,
        waiting_share=telemetry.waiting_share,
        interrupted=interrupt.interrupted,
    )


def _devices() -> dict[str, Any]:
    """Where Lightning trains: on one device, or with the processes that `torchrun` started."""
    accelerator = training_device().type
    if num_processes() == 1:
        return {"accelerator": accelerator, "devices": 1}
    return {
        "accelerator": accelerator,
        "devices": local_processes(),
        "num_nodes": num_processes() // local_processes(),
        "strategy": "ddp",
    }


def _early_stopping(plan: Plan, has_validation: bool) -> list[pl.Callback]:
    patience = plan.regularisation.patience
    if not patience:
        return []
    if not has_validation:
        _log.warning("Nothing validates, so that patience %d has no effect.", patience)
        return []
    return [EndWithPatience(patience, plan.task.score)]


def _metrics_logger(run: Run, last_step: int | None) -> MetricsLogger:
    """The logger of ``metrics.csv``; a fit that goes on keeps the rows up to its last step."""
    rows: list[dict[str, str]] = []
    file = run.folder / METRICS_FILE
    if last_step is not None and file.is_file():
        with file.open(encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if int(row["step"]) <= last_step]
    logger = MetricsLogger(run.folder)
    for row in rows:
        figures: dict[str, Tensor | float] = {
            name: int(value) if name == "epoch" else float(value)
            for name, value in row.items()
            if value and name != "step"
        }
        logger.log_metrics(figures, step=int(row["step"]))
    # Lightning has removed the file: a fit that is killed again must not have lost its rows.
    logger.save()
    return logger


def _validations(run: Run, has_validation: bool) -> list[pl.Callback]:
    """What validates now and then in a budget of minutes."""
    if not has_validation or run.config.minutes is None:
        return []
    return [ValidateInTime(validation_interval_s(60 * run.config.minutes - run.prepared_s))]


def _validation_times(run: Run, has_validation: bool) -> dict[str, Any]:
    """When Lightning validates: where `ValidateInTime` says so, or at ends of epochs."""
    if not has_validation:
        return {"limit_val_batches": 0}
    if run.config.minutes is not None:
        return {"val_check_interval": NEVER, "check_val_every_n_epoch": None}
    return {"check_val_every_n_epoch": max(1, (run.config.epochs or 1) // 50)}


@contextmanager
def _own_errors(folder: Path) -> Iterator[None]:
    """Raise what Lightning and TensorBoard raise as callers know it.

    Raises:
        OutputError: The disk is full; TensorBoard's writer does not say where.
        TrainingError: The memory is too small for a step.
        KeyboardInterrupt: A second Ctrl-C, of which Lightning makes the process' end.
    """
    try:
        yield
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise end.__context__ from None
        raise
    except OSError as error:
        if isinstance(error, VolunetError) or not is_full(error):
            raise
        raise unwritable(folder, error, None) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, VolunetError) or not is_out_of_memory(error):
            raise
        raise TrainingError(
            folder,
            f"no room in memory for a step ({str(error).splitlines()[0]})",
            "Network, patch and batch fit into the memory that is free.",
            "Train anew with --batch-size auto, which finds what fits, or with a smaller "
            "--patch-size; or free memory and go on with --resume.",
        ) from error


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
