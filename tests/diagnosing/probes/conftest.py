"""A run whose cases are prepared: bright balls in noise, and a network of two levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from volunet.datasets.cache import prepare_cases
from volunet.datasets.layouts import read_dataset
from volunet.plan import Plan
from volunet.training.config import TrainingConfig
from volunet.training.record.run_folder import Run


@pytest.fixture
def blob_probe(blobs: Path, blob_plan: Plan, tmp_path: Path) -> Callable[..., Run]:
    """Make such a run; keywords replace the plan's, its task's, its network's or the config's."""

    def make(**keys: Any) -> Run:
        network = {k: keys.pop(k) for k in list(keys) if hasattr(blob_plan.network, k)}
        of_plan = {k: keys.pop(k) for k in list(keys) if k in Plan.model_fields}
        of_task = {k: keys.pop(k) for k in list(keys) if k in type(blob_plan.task).model_fields}
        changed = {
            "network": blob_plan.network.model_copy(update=network),
            "task": blob_plan.task.model_copy(update=of_task),
        }
        plan = blob_plan.model_copy(update=changed | of_plan)
        dataset = read_dataset(blobs)
        prepare_cases(dataset.cases, dataset, plan, tmp_path / "cache")
        names = tuple(case.name for case in dataset.cases)
        return Run(
            tmp_path, plan, TrainingConfig(epochs=1, **keys), str(blobs), names[:3], names[3:]
        )

    return make


class Ticks:
    """A clock that goes on by some seconds whenever it is read."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self._seconds = seconds

    def __call__(self) -> float:
        self.now += self._seconds
        return self.now


@pytest.fixture
def ticks() -> type[Ticks]:
    return Ticks
