"""`Study`: all cases of a data set, read once, as the checks see them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.check import CaseProblem, Progress, check_cases
from volunet.datasets.rules import ORIENTATION
from volunet.diagnosing.cases.atlas import LEAST_CASES, TRUSTED_DICE, AtlasFit, fit_atlas
from volunet.diagnosing.cases.boundaries import Boundaries
from volunet.diagnosing.cases.robust import median_of_known
from volunet.diagnosing.cases.summary import CaseSummary, declared_labels, summarise_case
from volunet.diagnosing.cases.thumbnails import plan_thumbnail
from volunet.diagnosing.cases.wording import few
from volunet.errors import ShapeError, VolumeError
from volunet.plan import Triple
from volunet.volumes import Grid, plan_conform, read_grid

_WORKERS: Final = 2
"""As in `volunet.datasets.check`: one reads while the other reckons."""


@dataclass(frozen=True, eq=False)
class Study:
    """Cases that were read, and what they have in common.

    Attributes:
        dataset: The data set.
        cases: A summary of each case that could be read, in the data set's order.
        problems: What was wrong with those that could not.
        spacing_mm: Spacing of the model's grid, (D, H, W).
    """

    dataset: DataSet
    cases: tuple[CaseSummary, ...]
    problems: tuple[CaseProblem, ...]
    spacing_mm: Triple

    @property
    def labels(self) -> Mapping[int, str]:
        """Value in the label maps → class name, background first."""
        return declared_labels(self.dataset.annotations)

    @cached_property
    def atlas(self) -> list[AtlasFit]:
        """How each case fits what the others say; empty where there are too few of them."""
        return fit_atlas(self.cases) if len(self.cases) >= LEAST_CASES else []

    @cached_property
    def usual_dice(self) -> float:
        """Median Dice with the atlas; 0 where it is not trusted, or where there is none."""
        dice = float(np.median([fit.dice for fit in self.atlas])) if self.atlas else 0.0
        return dice if dice >= TRUSTED_DICE else 0.0

    @cached_property
    def class_dice(self) -> NDArray[np.float64]:
        """Median Dice of each class with the atlas, over the cases that have it, (K − 1,).

        It is 0 for a class that no case has; empty where there is no atlas.
        """
        diagonals = [fit.overlaps.diagonal() for fit in self.atlas]
        return np.array([median_of_known(np.array(each)) for each in zip(*diagonals, strict=True)])

    @property
    def atlas_distrust(self) -> str:
        """Why the other cases do not tell of a case's label; empty where they do."""
        if not self.atlas:
            return few(len(self.cases), LEAST_CASES)
        if not self.usual_dice:
            dice = np.median([fit.dice for fit in self.atlas])
            return (
                f"labels have a Dice of {dice:.2f} with what the other cases say (median), "
                f"{TRUSTED_DICE:g} is needed"
            )
        return ""

    @cached_property
    def boundaries(self) -> Boundaries:
        """How the border of each case's label lies on its image."""
        return Boundaries.of_fits([case.boundary for case in self.cases])

    def names_of(self, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
        """Names of the cases that are set in a mask (N,)."""
        return tuple(case.name for case, bad in zip(self.cases, chosen, strict=True) if bad)

    def without(self, names: Collection[str]) -> Study:
        """The study of the cases that are not named: what they would spoil is worked out anew."""
        if not names:
            return self
        return replace(self, cases=tuple(case for case in self.cases if case.name not in names))


def read_study(
    dataset: DataSet, spacing_mm: Triple | None = None, progress: Progress | None = None
) -> Study:
    """Read every case of a data set once.

    Args:
        dataset: The data set.
        spacing_mm: Spacing of the model's grid in mm, (D, H, W); the median, as the plan has it,
            where not given.
        progress: Told after each case.
    """
    grids = {case.name: _read_grid(case) for case in dataset.cases}
    known = [grid for grid in grids.values() if grid is not None]
    spacings = np.array([grid.spacing_mm for grid in known]).reshape(-1, 3)
    extents = spacings * np.array([grid.shape for grid in known]).reshape(-1, 3)
    if spacing_mm is None:
        depth, height, width = (np.median(spacings, axis=0) if known else np.ones(3)).tolist()
        spacing_mm = (depth, height, width)
    thumbnail = plan_thumbnail(extents if known else [(1.0, 1.0, 1.0)])

    def summarise(case: Case) -> CaseSummary | None:
        if grids[case.name] is None:
            return None
        try:
            return summarise_case(case, dataset, thumbnail, spacing_mm)
        except (VolumeError, ShapeError):
            return None  # what is wrong with it, `check_cases` says

    summaries: list[CaseSummary | None] = []
    with ThreadPoolExecutor(_WORKERS) as pool:
        for done, summary in enumerate(pool.map(summarise, dataset.cases), start=1):
            summaries.append(summary)
            if progress is not None:
                progress(done, len(dataset.cases))
    bad = tuple(case for case, found in zip(dataset.cases, summaries, strict=True) if found is None)
    return Study(
        dataset=dataset,
        cases=tuple(summary for summary in summaries if summary is not None),
        problems=tuple(check_cases(replace(dataset, cases=bad))),
        spacing_mm=spacing_mm,
    )


def _read_grid(case: Case) -> Grid | None:
    try:
        return plan_conform(read_grid(case.images[0]), ORIENTATION, None)
    except (VolumeError, ShapeError):
        return None
