"""`doctor`: a data set, or a run → what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from volunet.datasets.layouts import read_dataset
from volunet.extras import check_train_extra

if TYPE_CHECKING:
    from volunet.diagnosing.diagnosis import Diagnosis

Progress = Callable[[str, int, int], None]
"""Told a stage, how much of it is done and how much there is."""

RUN_FILES = ("run.json", "plan.json")
"""A folder with one of these is a run folder, be it a damaged one."""


def doctor(path: str | Path, *, probe: bool = True, progress: Progress | None = None) -> Diagnosis:
    """Find what is wrong with a data set before a training, or with a run after it.

    Args:
        path: A data set in the layout of MSD or nnU-Net, a CSV with image and label columns, or a
            run folder.
        probe: Of a run, whether its network is tried out on its prepared cases, for about 20
            seconds.
        progress: Told how it goes.

    Returns:
        The findings, the surest first, what was looked for, and what was left out and why.

    Raises:
        ConfigError: The run folder is damaged, or PyTorch is not installed.
        DatasetError: The data set cannot be read.
    """
    path = Path(path)
    if any((path / name).is_file() for name in RUN_FILES):
        return _of_run(path, probe, progress)
    return _of_dataset(path, progress)


def _of_run(folder: Path, probe: bool, progress: Progress | None) -> Diagnosis:
    check_train_extra("doctor")
    from volunet.diagnosing.run import diagnose_run

    return diagnose_run(folder, probe=probe, progress=progress)


def _of_dataset(path: Path, progress: Progress | None) -> Diagnosis:
    from volunet.diagnosing.dataset import diagnose_dataset

    return diagnose_dataset(
        read_dataset(path),
        progress=None if progress is None else partial(progress, "look at the cases"),
    )
