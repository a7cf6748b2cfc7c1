"""The command that trains again as a run was trained, but for a change."""

from __future__ import annotations

import shlex
from typing import Final

from volunet.datasets.rules import choose_augmentation
from volunet.plan import NetworkPlan, Regularisation
from volunet.training.config import TrainingConfig
from volunet.training.run_folder import Run

NEW_FOLDER: Final = "NEW"
"""Stands for the new run folder."""


def train_again(run: Run, **changes: object) -> str:
    """``volunet train`` with the run's own settings and some changed ones.

    Settings that a run would have by itself are left out.

    Args:
        run: The run.
        **changes: Flag, with underscores, → its value; a None leaves the choice to volunet.

    Example: ``volunet train DATASET -o NEW --minutes 10 --learning-rate 0.003``
    """
    flags = {**_own(run), **changes}
    words = ["volunet", "train", run.dataset, "-o", NEW_FOLDER]
    for name, value in flags.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", _text(value)]
    return shlex.join(words)


def _own(run: Run) -> dict[str, object]:
    config, plan = run.config, run.plan
    budget: dict[str, object] = (
        {"epochs": config.epochs} if config.minutes is None else {"minutes": config.minutes}
    )
    network = plan.network or NetworkPlan(in_channels=1, out_channels=1)
    cases = plan.fingerprint.num_cases if plan.fingerprint else 0
    usual = Regularisation(augmentation=choose_augmentation(cases))
    given: list[tuple[str, object, object]] = [
        ("fold", config.fold, TrainingConfig.fold),
        ("loss", config.loss, TrainingConfig.loss),
        ("optimizer", config.optimizer, TrainingConfig.optimizer),
        ("learning_rate", config.learning_rate, None),
        ("workers", config.workers, TrainingConfig.workers),
        ("norm", network.norm, "batch"),
        ("dropout", network.dropout, 0.0),
        *(
            (name, getattr(plan.regularisation, name), getattr(usual, name))
            for name in Regularisation.model_fields
        ),
    ]
    return budget | {name: value for name, value, default in given if value != default}


def _text(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(_text(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
