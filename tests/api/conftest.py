"""A run of bagging and its one file, as if trained; exporting takes seconds, so once a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from volunet.plan import Plan


@pytest.fixture(scope="session")
def bagged_run(
    blob_plan: Plan,
    trained: Callable[..., Any],
    blobs: Path,
    made_once: Callable[..., Path],
) -> Path:
    """A run folder of three members for `blobs`; not to be changed."""
    from volunet.training.config import TrainingConfig
    from volunet.training.record.run_folder import Run, member_folder, write_run, write_weights

    names = tuple(f"blob_{index}" for index in range(3))
    config = TrainingConfig(epochs=1, fold="all/3")

    def make(folder: Path) -> None:
        run = Run(folder, blob_plan, config, str(blobs), names, ())
        folder.mkdir()
        write_run(replace(run, plan=blob_plan.model_copy(update={"members": 3})))
        for number in (1, 2, 3):
            member = member_folder(folder, number)
            member.mkdir()
            write_run(replace(run, folder=member, config=replace(config, fold=f"{number}/3")))
            write_weights(member, trained(blob_plan, seed=number), 0.5)

    return made_once("bagged", make)


@pytest.fixture(scope="session")
def bagged_model(bagged_run: Path, made_once: Callable[..., Path]) -> Path:
    """The exported ensemble of `bagged_run`, which answers logits; not to be changed."""
    from volunet.api.export import export

    return made_once("bagged.onnx", lambda model: export(bagged_run, model, sizes=2))
