"""Progress of long work: bars on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_log = logging.getLogger(__name__)

_LINE_EVERY_S: Final = 10.0
"""Seconds between log lines of one stage, but for its first and last."""


class Show(Protocol):
    """Told a stage's name, how much of it is done (0…1) and the newest figures."""

    def __call__(self, stage: str, done: float, figures: dict[str, float]) -> None:
        """Show it."""


@contextmanager
def show_progress() -> Iterator[Show]:
    """Show the progress of the stages inside the block, on stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _LogLines()
        return
    with Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    ) as bars:
        yield _Bars(bars)


@contextmanager
def show_count(stage: str) -> Iterator[partial[None]]:
    """Show one stage that counts: the block gets a function of the number done and of all."""
    with show_progress() as show:
        yield partial(_count, show, stage)


def _count(show: Show, stage: str, done: float, total: int) -> None:
    show(stage, done / total, {})


def _text(figures: dict[str, float]) -> str:
    return "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())


class _Bars:
    """A bar a stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: float, figures: dict[str, float]) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=1.0, figures="")
        self._bars.update(self._tasks[stage], completed=done, figures=_text(figures))


class _LogLines:
    """A line now and then."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._finished: set[str] = set()

    def __call__(self, stage: str, done: float, figures: dict[str, float]) -> None:
        now = time.monotonic()
        finished = done >= 1.0
        if stage in self._finished:
            return
        if finished or now - self._last.get(stage, -_LINE_EVERY_S) >= _LINE_EVERY_S:
            self._last[stage] = now
            _log.info("%s: %.0f %%  %s", stage, 100 * done, _text(figures))
        if finished:
            self._finished.add(stage)
