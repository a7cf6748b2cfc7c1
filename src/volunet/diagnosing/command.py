"""The commands that findings advise: train again but for a change, go on, look at the data set."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from volunet.datasets.rules import PRESETS, choose_augmentation
from volunet.requests import TrainingRequest
from volunet.training.config import TrainingConfig
from volunet.training.record.run_folder import Run, resume_command

NEW_FOLDER: Final = "NEW"
"""Stands for the new run folder."""

_DEFAULTS: Final[Mapping[str, object]] = MappingProxyType(
    {
        name: field.default
        for name, field in TrainingRequest.model_fields.items()
        if name not in ("minutes", "epochs")
    }
)
"""Flag of ``volunet train``, with underscores, → what it is where it is not given; in the order in
which flags are told."""

_BETWEEN: Final[Mapping[str, str]] = MappingProxyType({"patch_size": "x"})
"""What stands between a flag's numbers where it is no comma."""


def train_again(run: Run, **changes: object) -> str:
    """``volunet train`` with what the user asked for in a run, and some changes.

    Flags are left out that say what volunet does without them; of the changes, too, unless the run
    had something else.

    Args:
        run: The run.
        **changes: Flag, with underscores, → its value; a None leaves the choice to volunet.

    Example: ``volunet train DATASET -o NEW --minutes 10 --learning-rate 0.003``
    """
    asked = _asked(run)
    changed = {
        name: value
        for name, value in changes.items()
        if name in asked or value != _DEFAULTS.get(name)
    }
    words = ["volunet", "train", run.dataset, "-o", NEW_FOLDER]
    for name, value in {**asked, **changed}.items():
        words += _flag(name, value)
    return shlex.join(words)


def go_on(run: Run) -> str:
    """The command that goes on with a run."""
    return resume_command(run.dataset, run.folder)


def examine(subject: str | Path) -> str:
    """The command that looks at a data set or run."""
    return shlex.join(["volunet", "doctor", str(subject)])


def _asked(run: Run) -> dict[str, object]:
    """The flags of a run that are not volunet's own choice, its budget first."""
    config = run.config
    asked = run.asked or _told_by_the_plan(run)
    given: dict[str, object] = {
        **asked.model_dump(),
        # A budget and workers may have been replaced when it went on.
        "workers": None if config.workers == 1 else config.workers,
    }
    budget: dict[str, object] = (
        {"epochs": config.epochs} if config.minutes is None else {"minutes": config.minutes}
    )
    # The number that a run of an optimizer has by itself may be written down as if it were given.
    own = asked.model_copy(update={"l2": None}).weight_decay
    usual = {**_DEFAULTS, "l2": own, "loss": run.plan.task.loss(None)}
    return budget | {
        name: given[name]
        for name, default in _DEFAULTS.items()
        if name in given and given[name] not in (default, usual[name])
    }


def _told_by_the_plan(run: Run) -> TrainingRequest:
    """What a run was asked for that did not keep it, as far as its plan differs from the rules'."""
    plan, config = run.plan, run.config
    measures = plan.regularisation
    usual = choose_augmentation(plan.fingerprint.num_cases if plan.fingerprint else 0)
    arguments: dict[str, object] = {
        "fold": None if config.fold == TrainingConfig.fold else config.fold,
        "loss": config.loss,
        "optimizer": config.optimizer,
        "learning_rate": config.learning_rate,
        "seed": config.seed,
        "l1": measures.l1,
        "l2": measures.l2,
        "augmentation": None if measures.augmentation == usual else measures.augmentation,
        "patience": measures.patience,
    }
    if plan.network is not None:
        norm = plan.network.norm
        arguments["norm"] = None if norm == PRESETS["auto"].norm else norm
        arguments["dropout"] = plan.network.dropout
    return TrainingRequest.of(**arguments)


def _flag(name: str, value: object) -> list[str]:
    if value is None or value is False:
        return []
    flag = f"--{name.replace('_', '-')}"
    return [flag] if value is True else [flag, _text(value, _BETWEEN.get(name, ","))]


def _text(value: object, between: str) -> str:
    if isinstance(value, (tuple, list)):
        return between.join(_text(one, between) for one in value)
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if math.isclose(float(short), value, rel_tol=1e-9) else str(value)
