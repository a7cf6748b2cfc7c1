"""`Study`: all cases of a data set, read once, as the checks see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.check import CaseProblem, Progress, check_cases
from volunet.datasets.rules import ORIENTATION
from volunet.diagnosing.cases.atlas import AtlasFit, fit_atlas
from volunet.diagnosing.cases.summary import CaseSummary, summarise_case
from volunet.diagnosing.cases.thumbnails import plan_thumbnail
from volunet.errors import ShapeError, VolumeError
from volunet.volumes import Grid, plan_conform, read_grid
from volunet.volumes.axes import Shape3, Spacing3

_WORKERS: Final = 2
"""As in `volunet.datasets.check`: one reads while the other reckons."""
