"""`train`: a folder of labelled scans → a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from volunet.datasets.layouts import read_dataset
from volunet.errors import TrainingError
from volunet.extras import check_train_extra
from volunet.plan import Augmentation, NormName, Plan, Size3, Triple
from volunet.requests import Optimizer, Precision, Preset, TrainingRequest

Progress = Callable[[str, float, dict[str, float]], None]
"""Told what is being done, how much of it is done (0…1), and the newest figures."""


@dataclass(frozen=True)
class TrainingResult:
    """What came of a training.

    Attributes:
        run: The run folder.
        plan: The plan.
        steps: Optimizer steps, of all networks.
        best_score: Best validation score, such as the mean Dice of the foreground classes; of
            several networks the mean. NaN without validation.
        elapsed_s: Seconds in all: reading, preparing, fitting and validating.
        waiting_share: Share of the fit's time that steps waited for patches.
        interrupted: Whether Ctrl-C ended it before its budget.
    """

    run: Path
    plan: Plan
    steps: int
    best_score: float
    elapsed_s: float
    waiting_share: float
    interrupted: bool


def train(
    dataset: str | Path,
    output: str | Path,
    *,
    minutes: float | None = None,
    epochs: int | None = None,
    fold: str | None = None,
    preset: Preset = "auto",
    features: Sequence[int] | None = None,
    patch_size: Size3 | None = None,
    batch_size: int | Literal["auto"] | None = None,
    spacing_mm: Triple | None = None,
    loss: str | None = None,
    norm: NormName | None = None,
    dropout: float | Sequence[float] = 0.0,
    l1: float = 0.0,
    l2: float | None = None,
    augmentation: Augmentation | None = None,
    patience: int = 0,
    optimizer: Optimizer = "adamw",
    learning_rate: float | None = None,
    precision: Precision | None = None,
    workers: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a network on labelled scans.

    Started by `torchrun` in several processes, these train one network together.

    Args:
        dataset: A folder in the layout of MSD or nnU-Net, or a CSV with image and label columns.
        output: The run folder; new or empty, but for `resume`.
        minutes: Wall-clock budget of everything: reading, preparing, fitting and validating.
        epochs: Budget in epochs instead.
        fold: ``K/N`` validates on fold K of N; ``all`` or ``all/N`` trains a network a fold, whose
            probabilities are averaged (bagging); ``none`` trains on every case. 1/5 where not
            given, or fewer folds where there are fewer cases.
        preset: ``auto`` follows the data set, ``notes`` is the notes' network.
        features: Channels of each level, top down, instead of those that fit the time.
        patch_size: Size of training patches in voxels, (D, H, W), instead of the rule's.
        batch_size: Patches in a batch, instead of the rule's; ``auto``: by the gradient noise scale
            and the memory.
        spacing_mm: Spacing of the model's grid in mm, (D, H, W), instead of the median.
        loss: Name of the loss, instead of the task's own; of a segmentation see
            `volunet.tasks.segmentation.losses`.
        norm: Norm layers, instead of the preset's.
        dropout: Probability with which a block's channels are dropped: one number, or one a level,
            top down.
        l1: Weight of the sum of the absolute weights in the loss.
        l2: Weight decay; None: 0.01 with AdamW, 3e-5 with SGD.
        augmentation: Its strength; None: by the number of cases.
        patience: Validations without a better Dice after which the fit stops; 0: never.
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: Highest of the schedule, instead of the optimizer's own.
        precision: ``float32`` or ``bfloat16`` for activations; None: the quicker on this machine,
            measured, with a budget of minutes; else float32.
        workers: Processes that prepare patches; None: 1, or as many as before.
        seed: Seed of weights, patches and augmentation.
        skip_bad: Leave out cases that fail their check, instead of stopping.
        resume: Go on with the run in `output`; a budget and `workers` given here replace its own,
            everything else stays.
        progress: Told how it goes.

    Raises:
        DatasetError: The data set cannot be read, or cases fail their check (all named together).
        OutputError: The run folder is not empty.
        ConfigError: A flag does not fit, or there is nothing to resume.
        TrainingError: The loss is not finite any more (the message has what the doctor finds), a
            worker was ended, or reading took the time.
    """
    given = dict(locals())
    begun = time.monotonic()
    check_train_extra("train")
    asked = TrainingRequest.of(**{name: given[name] for name in TrainingRequest.model_fields})
    from volunet.training.bagging import fit_run
    from volunet.training.fitting.processes import (
        first_alone,
        hear_last_words,
        joined_processes,
        process_rank,
    )
    from volunet.training.fitting.telemetry import DivergedError
    from volunet.training.record.run_folder import read_run
    from volunet.training.start import prepare_run, resume_run, start_run

    output = Path(output)
    found = read_dataset(dataset)

    def counted(stage: str, done: int, total: int) -> None:
        if progress:
            progress(stage, done / total, {})

    def begin() -> None:
        if resume:
            resume_run(
                found,
                output,
                minutes=minutes,
                epochs=epochs,
                workers=workers,
                begun=begun,
                counted=counted,
            )
            return
        start_run(found, output, asked, begun=begun, counted=counted)

    with joined_processes():
        first_alone(begin)
        run = read_run(output)
        try:
            result = fit_run(
                run,
                found,
                lambda names: prepare_run(found, run, names, counted),
                begun=begun,
                resume=resume,
                report=partial(progress, "train") if progress else None,
            )
        except DivergedError as error:
            if process_rank() == 0:
                raise _diagnosed(error, output) from error
            hear_last_words()
            raise
    return TrainingResult(
        run=output,
        plan=run.plan,
        steps=result.steps,
        best_score=result.best_score,
        elapsed_s=result.elapsed_s,
        waiting_share=result.waiting_share,
        interrupted=result.interrupted,
    )


def _diagnosed(error: TrainingError, folder: Path) -> TrainingError:
    """The error with what the doctor finds in what the run wrote down."""
    from volunet.diagnosing.command import examine
    from volunet.diagnosing.run import diagnose_run

    lines = [
        f"{finding.fault}, {finding.certainty} certainty: {finding.evidence} {finding.cause}\n"
        f"  {finding.change}"
        for finding in diagnose_run(folder, probe=False).findings
        if finding.certainty != "low"
    ]
    last = f"{examine(folder)} tries the network out as well."
    do = "\n".join([error.do, *lines, last])
    return type(error)(error.where, error.found, error.expected, do)
