"""`train`: a folder of labelled scans → a run folder."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.check import check_dataset
from volunet.datasets.fingerprint import take_fingerprint
from volunet.datasets.layouts import read_dataset
from volunet.datasets.rules import plan_from_fingerprint
from volunet.datasets.splits import Fold, find_splits, split_cases
from volunet.errors import ConfigError
from volunet.extras import check_train_extra
from volunet.plan import Plan, Size3, Triple
from volunet.volumes import check_output_folder

if TYPE_CHECKING:
    from volunet.training.config import Optimizer
    from volunet.training.run_folder import Run

_log = logging.getLogger(__name__)

Progress = Callable[[str, float, dict[str, float]], None]
"""Told what is being done, how much of it is done (0…1), and the newest figures."""

MAX_DEFAULT_FOLDS = 5
"""Folds where the user names none: a fifth of the cases validates."""


@dataclass(frozen=True)
class TrainingResult:
    """What came of a training.

    Attributes:
        run: The run folder.
        plan: The plan.
        steps: Optimizer steps.
        best_dice: Best validation Dice, the mean over the foreground classes; NaN without
            validation.
        elapsed_s: Seconds of fitting.
        interrupted: Whether Ctrl-C ended it before its budget.
    """

    run: Path
    plan: Plan
    steps: int
    best_dice: float
    elapsed_s: float
    interrupted: bool


def train(
    dataset: str | Path,
    output: str | Path,
    *,
    minutes: float | None = None,
    epochs: int | None = None,
    fold: str | None = None,
    preset: str = "auto",
    features: Sequence[int] | None = None,
    patch_size: Size3 | None = None,
    batch_size: int | None = None,
    spacing_mm: Triple | None = None,
    optimizer: Optimizer = "adamw",
    learning_rate: float | None = None,
    patience: int = 0,
    workers: int = 1,
    seed: int = 0,
    skip_bad: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a network on labelled scans.

    Args:
        dataset: A folder in the layout of MSD or nnU-Net, or a CSV with image and label columns.
        output: The run folder; new or empty, but for `resume`.
        minutes: Wall-clock budget of the fit.
        epochs: Budget in epochs instead.
        fold: ``K/N`` validates on fold K of N, ``all`` trains on every case; 1/5 where not given,
            or fewer folds where there are fewer cases.
        preset: ``auto`` follows the data set, ``notes`` is the notes' network.
        features: Channels of each level, top down, instead of the preset's.
        patch_size: Size of training patches in voxels, (D, H, W), instead of the rule's.
        batch_size: Patches in a batch, instead of the rule's.
        spacing_mm: Spacing of the model's grid in mm, (D, H, W), instead of the median.
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: Highest of the schedule, instead of the optimizer's own.
        patience: Validations without a better Dice after which the fit stops; 0: never.
        workers: Processes that prepare patches.
        seed: Seed of weights, patches and augmentation.
        skip_bad: Leave out cases that fail their check, instead of stopping.
        resume: Go on with the run in `output`; a budget given here replaces its own.
        progress: Told how it goes.

    Raises:
        DatasetError: The data set cannot be read, or cases fail their check (all named together).
        OutputError: The run folder is not empty.
        ConfigError: A flag does not fit, or there is nothing to resume.
    """
    check_train_extra("train")
    from volunet.datasets.cache import prepare_cases
    from volunet.training.config import TrainingConfig
    from volunet.training.fit import fit
    from volunet.training.run_folder import CACHE_FOLDER, Run, read_run, write_run

    def counted(stage: str) -> Callable[[int, int], None] | None:
        return partial(_tell, progress, stage) if progress else None

    output = Path(output)
    found = read_dataset(dataset)
    if resume:
        run = read_run(output)
        if minutes is not None or epochs is not None:
            config = dataclasses.replace(run.config, minutes=minutes, epochs=epochs)
            run = dataclasses.replace(run, config=config)
    else:
        config = TrainingConfig(
            minutes=minutes,
            epochs=epochs,
            optimizer=optimizer,
            learning_rate=learning_rate,
            patience=patience,
            workers=workers,
            seed=seed,
        )
        if fold is not None:
            Fold.parse(fold)  # a wrong one shows before all cases are read
        check_output_folder(output)
        found = check_dataset(found, skip_bad=skip_bad, progress=counted("check the cases"))
        # Cases that were left out make fewer folds.
        config = dataclasses.replace(config, fold=fold or _default_fold(found))
        training, validation = split_cases(found.cases, Fold.parse(config.fold), find_splits(found))
        plan = plan_from_fingerprint(
            found,
            take_fingerprint(found, progress=counted("measure the cases")),
            preset=preset,
            features=tuple(features) if features else None,
            patch_size=patch_size,
            batch_size=batch_size,
            spacing_mm=spacing_mm,
        )
        run = Run(
            folder=output,
            plan=plan,
            config=config,
            dataset=str(Path(dataset).resolve()),
            training=tuple(case.name for case in training),
            validation=tuple(case.name for case in validation),
        )
        write_run(run)
    prepare = partial(
        prepare_cases,
        dataset=found,
        plan=run.plan,
        folder=output / CACHE_FOLDER,
        progress=counted("prepare the cases"),
    )
    result = fit(
        run,
        prepare(_named(found, run.training, run)),
        prepare(_named(found, run.validation, run)),
        resume=resume,
        report=partial(progress, "train") if progress else None,
    )
    return TrainingResult(
        run=output,
        plan=run.plan,
        steps=result.steps,
        best_dice=result.best_dice,
        elapsed_s=result.elapsed_s,
        interrupted=result.interrupted,
    )


def _tell(progress: Progress, stage: str, done: int, total: int) -> None:
    progress(stage, done / total, {})


def _default_fold(dataset: DataSet) -> str:
    folds = min(MAX_DEFAULT_FOLDS, len(dataset.cases))
    if folds < 2:
        _log.warning("%s: one case, which trains; nothing validates.", dataset.name)
        return "all"
    if folds < MAX_DEFAULT_FOLDS:
        _log.warning("%s: %d cases, so fold 1 of %d validates.", dataset.name, folds, folds)
    return f"1/{folds}"


def _named(dataset: DataSet, names: Sequence[str], run: Run) -> list[Case]:
    cases = {case.name: case for case in dataset.cases}
    missing = [name for name in names if name not in cases]
    if missing:
        raise ConfigError(
            run.folder,
            f"the run was started with {len(missing)} cases that {dataset.root} does not have, "
            f"the first {missing[0]}",
            f"A run goes on with the cases that it was started with, from {run.dataset}.",
            "Give that data set, or train anew.",
        )
    return [cases[name] for name in names]
