"""Look at every case before training, and report all faulty ones together.

A broken file that turns up in hour three of a training, one per attempt, costs days; read once
beforehand, all of them cost minutes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.load import read_images
from volunet.errors import DatasetError, ShapeError, VolumeError
from volunet.volumes import Volume, check_finite

Progress = Callable[[int, int], None]
"""Called with the cases done and the cases in all."""

_LOG = logging.getLogger(__name__)

_WORKERS: Final = 2
"""Reading waits for the disk and unpacks in C, so that a second thread helps; more take memory."""


@dataclass(frozen=True)
class CaseProblem:
    """One fault of one case.

    Attributes:
        case: The case's name.
        file: The file at fault.
        found: What was found there.
        expected: What would have been right.
        do: What to do about it.
    """

    case: str
    file: Path
    found: str
    expected: str
    do: str


def check_cases(dataset: DataSet, progress: Progress | None = None) -> list[CaseProblem]:
    """Read every case and list all that cannot be trained on.

    Looked for: files that are missing, empty or cut off; time series and wrong numbers of
    channels; voxels that are not finite; channels or labels on another grid than the image; label
    values that the data set does not declare. A label map of background alone is no fault, but is
    logged.

    Args:
        dataset: The data set.
        progress: Told after each case.

    Returns:
        The problems in the order of the cases; one case can have several.
    """
    problems: list[CaseProblem] = []
    with ThreadPoolExecutor(_WORKERS) as pool:
        results = pool.map(partial(_check_case, dataset=dataset), dataset.cases)
        for done, found in enumerate(results, start=1):
            problems += found
            if progress is not None:
                progress(done, len(dataset.cases))
    return problems


def check_dataset(
    dataset: DataSet, skip_bad: bool = False, progress: Progress | None = None
) -> DataSet:
    """The data set, if all its cases can be trained on.

    Args:
        dataset: The data set.
        skip_bad: Leave out bad cases, with a warning in the log, instead of raising.
        progress: Told after each case.

    Raises:
        DatasetError: There are bad cases and `skip_bad` is not set, or no case is good. The
            message names every one of them.
    """
    problems = check_cases(dataset, progress)
    if not problems:
        return dataset
    bad = {problem.case for problem in problems}
    good = tuple(case for case in dataset.cases if case.name not in bad)
    listing = "".join(f"\n  {_line(problem, dataset.root)}" for problem in problems)
    counts = f"{len(bad)} of {len(dataset.cases)} cases cannot be used"
    if skip_bad and good:
        _LOG.warning("%s: %s and are left out:%s", dataset.root, counts, listing)
        return replace(dataset, cases=good)
    raise DatasetError(
        dataset.root,
        f"{counts}:{listing}",
        "Each case needs whole files, on one grid, with declared label values.",
        "Mend or remove these cases, or leave them out with --skip-bad."
        if good
        else "Mend the cases; no good one is left to train on.",
    )


def _line(problem: CaseProblem, root: Path) -> str:
    file = problem.file
    folder = root if root.is_dir() else root.parent
    name = file.relative_to(folder) if file.is_relative_to(folder) else file
    parts = (problem.found, problem.expected, problem.do)
    return f"{name}: " + " ".join(
        part if part.endswith((".", "?")) else f"{part}." for part in parts
    )


def _check_case(case: Case, dataset: DataSet) -> list[CaseProblem]:
    problems = _missing_files(case, dataset)
    missing = {problem.file for problem in problems}
    image: Volume | None = None
    if missing.isdisjoint(case.images):
        with _collect(problems, case, case.images[0]):
            image = read_images(case, dataset)
    if image is not None:
        # One file may hold all channels; otherwise each channel has its own.
        sources = case.images if len(case.images) > 1 else case.images * image.num_channels
        for path, channel in zip(sources, image.array, strict=True):
            with _collect(problems, case, path):
                check_finite(Volume(channel, image.affine, path))
    if case.label is None or case.label in missing:
        return problems
    file = case.label if isinstance(case.label, Path) else dataset.root
    with _collect(problems, case, file):
        dataset.annotations.check(case.label, image)
    return problems


def _missing_files(case: Case, dataset: DataSet) -> list[CaseProblem]:
    problems = []
    for channel, path in enumerate(case.images):
        if not path.exists():
            names = ", ".join(dataset.channels)
            what = f"channel {channel}, {dataset.channels[channel]}, of case {case.name}"
            problems.append(
                CaseProblem(
                    case.name,
                    path,
                    f"no such file ({what})",
                    f"Each case has {len(dataset.channels)} channels: {names}.",
                    "Add the file, or remove the case.",
                )
            )
    if isinstance(case.label, Path) and not case.label.exists():
        problems.append(
            CaseProblem(
                case.name,
                case.label,
                f"no such file (label map of case {case.name})",
                "Each training case has a label map.",
                "Add the file, or remove the case.",
            )
        )
    return problems


@contextmanager
def _collect(problems: list[CaseProblem], case: Case, file: Path) -> Iterator[None]:
    """Turn an error about a volume into a problem of the case."""
    try:
        yield
    except (VolumeError, ShapeError) as error:
        # Errors name the file they found the fault in, which need not be the first channel.
        named = next((path for path in case.images if str(path) == error.where), file)
        problems.append(CaseProblem(case.name, named, error.found, error.expected, error.do))
