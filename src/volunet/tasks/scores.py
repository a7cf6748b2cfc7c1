"""`Scores`: how good predictions are, as each task measures it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

from volunet.plan import Plan
from volunet.tasks import module_of
from volunet.volumes import Volume


class Scores(Protocol):
    """What a folder of predictions scored, as tables and reports show it."""

    @property
    def num_cases(self) -> int:
        """Cases that were scored."""
        ...

    @property
    def missing(self) -> tuple[str, ...]:
        """Cases with a reference and no prediction; they count in no mean."""
        ...

    @property
    def extra(self) -> tuple[str, ...]:
        """Cases with a prediction and no reference."""
        ...

    @property
    def headline(self) -> tuple[str, float]:
        """The one figure that counts most: its name and its value."""
        ...

    @property
    def header(self) -> tuple[str, ...]:
        """Names of the columns of `table`; the first column is names, the others are figures."""
        ...

    @property
    def explanation(self) -> str:
        """What the columns mean."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a figure cannot say, a line each, with the case's name."""
        ...

    def table(self) -> list[tuple[str, ...]]:
        """Means over the cases, as text."""
        ...

    def line_of(self, case: str) -> str:
        """What a case scored, as one line; empty where there is nothing to say."""
        ...

    def write_csv(self, path: Path) -> None:
        """Write every row of every case.

        Raises:
            OutputError: The file cannot be written.
        """
        ...


def evaluate_files(
    kind: str,
    predictions: Path,
    references: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Scores:
    """Score predictions of a kind of task against their references.

    Args:
        kind: A key of `volunet.plan.TASKS`.
        predictions: A folder of predictions, or one.
        references: A folder of references of the same names, or one.
        progress: Called with the number of cases done and the number of all.
        options: What only this task takes; its ``evaluate`` documents it.

    Raises:
        VolunetError: As the task's ``evaluate``.
    """
    module = module_of(kind, "scores")
    return cast(Scores, module.evaluate(predictions, references, progress=progress, **options))


def agreement(plan: Plan, a: Volume, b: Volume) -> dict[str, float]:
    """How well two answers to one scan agree: name → score."""
    return cast(dict[str, float], module_of(plan.task.kind, "scores").agreement(plan.task, a, b))
