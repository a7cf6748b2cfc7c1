"""`start_run`: a data set and what the user asked for → a planned run and its prepared cases."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from volunet.datasets.cache import PreparedCase, prepare_cases
from volunet.datasets.cases import Case, DataSet
from volunet.datasets.check import check_dataset
from volunet.datasets.fingerprint import take_fingerprint
from volunet.datasets.rules import check_levels, plan_from_fingerprint
from volunet.datasets.splits import (
    DEFAULT_FOLDS,
    Fold,
    find_splits,
    parse_folds,
    split_cases,
)
from volunet.errors import ConfigError, TrainingError
from volunet.plan import Fingerprint, Plan
from volunet.requests import TrainingRequest
from volunet.training.config import TrainingConfig
from volunet.training.planning.batch_size import choose_batch_size, sees_one_voxel, smallest_batch
from volunet.training.planning.fit_to_time import fit_to_time
from volunet.training.record.run_folder import (
    CACHE_FOLDER,
    Run,
    clear_unfinished_start,
    read_run,
    write_run,
)
from volunet.volumes import check_output_folder
from volunet.volumes.scratch import clear_scratch

_log = logging.getLogger(__name__)

Counted = Callable[[str, int, int], None]
"""Told a stage, how much of it is done and how much there is."""

LONGEST_PREPARATION: Final = 0.8
"""Share of the minutes that reading and preparing may take; what is left would train nothing."""


def start_run(
    dataset: DataSet,
    folder: Path,
    asked: TrainingRequest,
    *,
    begun: float,
    counted: Counted,
) -> Run:
    """Check, measure, prepare and plan, and write the run's description.

    Args:
        dataset: The data set.
        folder: The run folder; new or empty.
        asked: What the user asked for, with a budget.
        begun: When the budget's clock began, in `time.monotonic`'s seconds.
        counted: Told how it goes.

    Returns:
        The run; its cases are prepared in its cache.

    Raises:
        DatasetError: Cases fail their check, or are too few for the folds.
        ConfigError: A flag does not fit.
        OutputError: The run folder is not empty.
        TrainingError: Reading takes most of the time.
    """
    _check_early(dataset, asked)
    config = TrainingConfig(
        minutes=asked.minutes,
        epochs=asked.epochs,
        optimizer=asked.optimizer,
        learning_rate=asked.learning_rate,
        loss=dataset.annotations.task().loss(asked.loss),
        precision=asked.precision or "float32",
        workers=1 if asked.workers is None else asked.workers,
        seed=asked.seed,
    )
    clear_unfinished_start(folder)
    check_output_folder(folder)
    in_time = _watched(counted, config, begun, "Give it more time")
    dataset = check_dataset(
        dataset, skip_bad=asked.skip_bad, progress=partial(in_time, "check the cases")
    )
    # Cases that were left out make fewer folds.
    config = replace(config, fold=asked.fold or default_fold(dataset))
    folds = parse_folds(config.fold, len(dataset.cases))
    training, validation = _split(dataset, folds)
    fingerprint = take_fingerprint(dataset, progress=partial(in_time, "measure the cases"))
    plan = _plan(dataset, fingerprint, asked, len(folds))
    spent_s = time.monotonic() - begun
    root = str(dataset.root.resolve())
    run = Run(folder, plan, config, root, training, validation, spent_s, asked, is_settled=False)
    write_run(run)
    run = _settle(dataset, run, begun, counted)
    run = replace(run, prepared_s=time.monotonic() - begun)
    write_run(run)
    return run


def resume_run(
    dataset: DataSet,
    folder: Path,
    *,
    minutes: float | None,
    epochs: int | None,
    workers: int | None,
    begun: float,
    counted: Counted,
) -> Run:
    """Read a run that is to go on; one that was killed while its cases were prepared is planned on.

    Args:
        dataset: The data set that it was started on.
        folder: The run folder.
        minutes: Budget that replaces the run's.
        epochs: The same in epochs.
        workers: Processes that prepare patches, instead of as many as before.
        begun: When this part of the training began, in `time.monotonic`'s seconds.
        counted: Told how it goes.

    Raises:
        ConfigError: There is no run, or the data set is another.
        TrainingError: Preparing has taken most of the time already.
    """
    run = read_run(folder)
    _named(dataset, run.training + run.validation, run)  # another data set changes nothing
    clear_scratch(folder, below=True)
    config = run.config
    if minutes is not None or epochs is not None:
        config = replace(config, minutes=minutes, epochs=epochs)
    if workers is not None:
        config = replace(config, workers=workers)
    if config != run.config:
        run = replace(run, config=config)
        write_run(run)
    if not run.is_settled:
        # The time before stays the run's; what is spent from now on the fit counts itself.
        run = _settle(dataset, run, begun - run.prepared_s, counted)
        write_run(run)
    return run


def prepare_run(
    dataset: DataSet, run: Run, names: Sequence[str], counted: Counted
) -> list[PreparedCase]:
    """The prepared cases of these names, made where they are not there yet.

    Raises:
        ConfigError: The data set does not have one of them.
    """
    return prepare_cases(
        _named(dataset, names, run),
        dataset,
        run.plan,
        run.folder / CACHE_FOLDER,
        partial(counted, "prepare the cases"),
    )


def time_left(minutes: float, begun: float, advice: str) -> float:
    """Seconds of the budget that are left for the fit.

    Args:
        minutes: The budget.
        begun: When its clock began, in `time.monotonic`'s seconds.
        advice: What to do where it is too little; the minutes follow it.

    Raises:
        TrainingError: It is less than a fifth of it.
    """
    gone = time.monotonic() - begun
    left = 60 * minutes - gone
    if left < (1 - LONGEST_PREPARATION) * 60 * minutes:
        raise TrainingError(
            f"--minutes {minutes:g}",
            f"reading and preparing the cases took {gone / 60:.1f} minutes",
            f"They may take {LONGEST_PREPARATION:.0%} of the minutes; the rest trains.",
            f"{advice}, such as --minutes {max(1, round(5 * gone / 60))}.",
        )
    return left


def default_fold(dataset: DataSet) -> str:
    """The first of `DEFAULT_FOLDS`, or of as many as there are cases; one case only trains."""
    folds = min(DEFAULT_FOLDS, len(dataset.cases))
    if folds < 2:
        _log.warning("%s: one case, which trains; nothing validates.", dataset.name)
        return "none"
    if folds < DEFAULT_FOLDS:
        _log.warning("%s: %d cases, so fold 1 of %d validates.", dataset.name, folds, folds)
    return f"1/{folds}"


def split_names(dataset: DataSet, fold: Fold) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the cases that train and that validate in a fold.

    Raises:
        DatasetError: There are fewer cases than folds.
    """
    training, validation = split_cases(dataset.cases, fold, find_splits(dataset))
    return tuple(case.name for case in training), tuple(case.name for case in validation)


def _settle(dataset: DataSet, run: Run, begun: float, counted: Counted) -> Run:
    """Prepare the cases and choose what is measured: the run as it will be fitted."""
    plan, config, asked = run.plan, run.config, run.asked
    if asked is None or plan.fingerprint is None:
        return run
    advice = "The prepared cases are kept: go on with --resume and more time"
    in_time = _watched(counted, config, begun, advice)
    cases = prepare_run(dataset, run, run.training + run.validation, in_time)
    patches_left = math.inf
    if config.minutes is not None:
        replan = partial(_plan, dataset, plan.fingerprint, asked, plan.members)
        timed = fit_to_time(
            lambda width, share: replan(width=width, patch_share=share),
            config,
            time_left(config.minutes, begun, advice) / plan.members,
            choose_network=asked.leaves_network,
            choose_batch=asked.batch_size is None,
            choose_precision=asked.precision is None,
        )
        plan, config = timed.plan, timed.config
        patches_left = timed.steps * plan.batch_size
    if asked.batch_size == "auto":
        member = plan.model_copy(update={"members": 1})
        chosen = choose_batch_size(
            member, config, cases[: len(run.training)], patches_left=patches_left
        )
        plan = plan.model_copy(update={"batch_size": chosen.batch_size})
        config = replace(config, accumulate=chosen.accumulate)
    return replace(run, plan=plan, config=config, is_settled=True)


def _plan(
    dataset: DataSet,
    fingerprint: Fingerprint,
    asked: TrainingRequest,
    members: int,
    **measured: Any,
) -> Plan:
    """The plan of what was asked for, with what was measured."""
    plan = plan_from_fingerprint(dataset, fingerprint, asked, members=members, **measured)
    by_batch = plan.batch_size < smallest_batch(plan)
    if by_batch or (sees_one_voxel(plan) and plan.network and plan.network.norm == "instance"):
        size = "×".join(map(str, plan.patch_size))
        norm, more = ("Batch", "--batch-size 2, ") if by_batch else ("Instance", "")
        raise ConfigError(
            f"--batch-size {plan.batch_size}" if by_batch else "--norm instance",
            f"a patch of {size} voxels, of which the deepest level sees a single one",
            f"{norm} norm needs two values of each channel, or it has nothing to compare.",
            f"Give {more}a larger --patch-size, fewer --features or --norm group.",
        )
    return plan


def _check_early(dataset: DataSet, asked: TrainingRequest) -> None:
    """Refuse, before all cases are read, what none of them will make right.

    Raises:
        ConfigError: A flag does not fit.
        DatasetError: There are fewer cases than folds.
    """
    check_levels(asked)
    if asked.fold is not None:
        _split(dataset, parse_folds(asked.fold, len(dataset.cases)))


def _watched(counted: Counted, config: TrainingConfig, begun: float, advice: str) -> Counted:
    """Ends, by the error of `time_left`, the reading of cases that takes too much of a budget."""

    def tell(stage: str, done: int, total: int) -> None:
        counted(stage, done, total)
        if config.minutes is not None:
            time_left(config.minutes, begun, advice)

    return tell


def _split(dataset: DataSet, folds: Sequence[Fold]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A run's cases: those of its fold; of several folds all, each of which is split by itself."""
    if len(folds) == 1:
        return split_names(dataset, folds[0])
    for fold in folds:
        split_names(dataset, fold)  # too few cases show before any member is fitted
    return tuple(sorted(case.name for case in dataset.cases)), ()


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
