"""`fit_run`: fit a run's network, or of a bagging run one network after the other.

Each member is fitted on the cases of its fold, for its share of the time that is left. Their
probabilities are averaged by whatever reads the run (`volunet.nets.ensemble`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from volunet.datasets.cache import PreparedCase
from volunet.datasets.cases import DataSet
from volunet.datasets.splits import parse_folds
from volunet.requests import SEEDS
from volunet.training.fitting.callbacks import Report
from volunet.training.fitting.fit import FitResult, fit
from volunet.training.fitting.processes import process_rank
from volunet.training.record.run_folder import LAST_FILE, Run, member_folder, write_run
from volunet.training.start import split_names

SHORTEST_S: Final = 1.0
"""What is left for members where the budget is spent: a network needs time for a step."""

Prepare = Callable[[Sequence[str]], list[PreparedCase]]
"""The prepared cases of these names."""


def fit_run(
    run: Run,
    dataset: DataSet,
    prepare: Prepare,
    *,
    begun: float,
    resume: bool,
    report: Report | None,
) -> FitResult:
    """Fit all networks of a run.

    Args:
        run: The run, written to its folder.
        dataset: Its data set.
        prepare: Gives prepared cases by name.
        begun: When the budget's clock began, in `time.monotonic`'s seconds.
        resume: Go on from the last checkpoint.
        report: Told how it goes.

    Returns:
        Of several members: all steps, the mean of the scores and of the waiting.
    """
    if run.plan.members == 1:
        return fit(
            run,
            prepare(run.training),
            prepare(run.validation),
            begun=begun,
            resume=resume,
            report=report,
        )
    known = {*run.training}
    own = replace(dataset, cases=tuple(case for case in dataset.cases if case.name in known))
    folds = parse_folds(run.config.fold, len(own.cases))
    results: list[FitResult] = []
    spent_s = (run.prepared_s if resume else 0.0) + time.monotonic() - begun
    for index, fold in enumerate(folds):
        member_begun = time.monotonic()
        folder = member_folder(run.folder, index + 1)
        folder.mkdir(exist_ok=True)
        minutes = run.config.minutes
        if minutes is not None:
            # What one member left or took too much, those that follow share.
            minutes = max(SHORTEST_S, 60 * minutes - spent_s) / 60 / (len(folds) - index)
        training, validation = split_names(own, fold)
        seed = (run.config.seed + index) % SEEDS
        member = Run(
            folder,
            run.plan.model_copy(update={"members": 1}),
            replace(
                run.config,
                fold=str(fold),
                minutes=minutes,
                seed=seed,
            ),
            run.dataset,
            training,
            validation,
            asked=run.asked,
        )
        if process_rank() == 0:
            write_run(member)
        results.append(
            fit(
                member,
                prepare(training),
                prepare(validation),
                begun=member_begun,
                resume=resume and (folder / LAST_FILE).is_file(),
                report=report and partial(_tell_share, report, index, len(folds)),
            )
        )
        spent_s += results[-1].elapsed_s
        if results[-1].interrupted:
            break
    scores = [result.best_score for result in results if not math.isnan(result.best_score)]
    return FitResult(
        steps=sum(result.steps for result in results),
        best_score=sum(scores) / len(scores) if scores else math.nan,
        elapsed_s=spent_s,
        waiting_share=sum(result.waiting_share for result in results) / len(results),
        interrupted=results[-1].interrupted,
    )


def _tell_share(
    report: Report, index: int, count: int, done: float, figures: dict[str, float]
) -> None:
    report((index + done) / count, figures)
