"""`Boundaries`: how the borders of all cases' labels lie, and whether that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.cases.boundary import BoundaryFit
from volunet.diagnosing.cases.robust import median_of_known

TRUSTED_BITS: Final = 0.05
"""Usual contrast below which borders say nothing."""

TRUSTED_PEAKS: Final = 0.85
"""Share of labels that lie on a peak of contrast, from which the set's borders are trusted; lesions
as faint as noise lie on one by chance."""


@dataclass(frozen=True, eq=False)
class Boundaries:
    """The fits of N cases as arrays; NaN and False where a case has no border.

    Attributes:
        contrast: See `BoundaryFit`, (N,).
        is_peak: See `BoundaryFit`, (N,).
        shift: See `BoundaryFit`, (N, 3).
        contrast_shifted: See `BoundaryFit`, (N,).
        contrast_flipped: See `BoundaryFit`, (N, 3).
        flip_is_peak: See `BoundaryFit`, (N, 3).
    """

    contrast: NDArray[np.float64]
    is_peak: NDArray[np.bool_]
    shift: NDArray[np.float64]
    contrast_shifted: NDArray[np.float64]
    contrast_flipped: NDArray[np.float64]
    flip_is_peak: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """Cases with a border."""
        return int(np.isfinite(self.contrast).sum())

    @property
    def usual(self) -> float:
        """Median contrast in bits; 0 where no case has a border."""
        return median_of_known(self.contrast)

    @property
    def distrust(self) -> str:
        """Why the images do not tell where labels belong; empty where they do.

        They do where there is contrast, and labels that fit halfway lie on its peaks.
        """
        usual = self.usual
        if usual < TRUSTED_BITS:
            return (
                f"the contrast at the labels' border is {usual:.3f} bit (median), {TRUSTED_BITS:g} "
                "is needed"
            )
        peaks = float(self.is_peak[self.contrast >= 0.5 * usual].mean())
        if peaks < TRUSTED_PEAKS:
            return f"{peaks:.0%} of the labels lie on a peak of contrast, {TRUSTED_PEAKS:.0%} must"
        return ""

    @classmethod
    def of_fits(cls, fits: Sequence[BoundaryFit | None]) -> Boundaries:
        """Stack the fits of several cases."""
        none = (np.nan,) * 3
        return cls(
            contrast=np.array([fit.contrast if fit else np.nan for fit in fits]),
            is_peak=np.array([fit is not None and fit.is_peak for fit in fits]),
            shift=np.array([fit.shift if fit else none for fit in fits], np.float64),
            contrast_shifted=np.array([fit.contrast_shifted if fit else np.nan for fit in fits]),
            contrast_flipped=np.array([fit.contrast_flipped if fit else none for fit in fits]),
            flip_is_peak=np.array([fit.flip_is_peak if fit else (False,) * 3 for fit in fits]),
        )
