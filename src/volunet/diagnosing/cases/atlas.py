"""What the other cases say of each voxel of a case: a quick classifier that needs no network.

It is fitted on all folds but the case's own. At each voxel of the thumbnails it knows how often
each class lies there, and mean and variance of the intensities that the class has there; a voxel's
class follows by Bayes' rule from place and intensity. On `Task04_Hippocampus` its answer has a Dice
of 0.77 with the cases' own labels: enough to tell a label that fits from one that does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax

from volunet.diagnosing.cases.summary import CaseSummary
from volunet.volumes.axes import Shape3

LEAST_CASES: Final = 6
"""Of fewer cases the others say too little."""

FOLDS: Final = 5

TRUSTED_DICE: Final = 0.3
"""Where the median case fits less, the classes have no common place, and the answer says little."""

_SMOOTHING: Final = 1.0
"""Deviation in voxels of the Gaussian by which neighbours share what they saw."""

_CASES_ASSUMED: Final = 4.0
"""Weight, in cases, of a class' intensities anywhere beside those at the voxel."""

_LEAST_CHANCE: Final = 0.02
"""Cases of each class that are taken as seen everywhere."""

_LEAST_VARIANCE: Final = 0.05
"""Of standardised intensities, whose variance over the scan is 1."""


_TIE: Final = 1e-6


@dataclass(frozen=True, eq=False)
class AtlasFit:
    """How a case's label fits what the other cases say of its image.

    Attributes:
        overlaps: Soft Dice of each class of the label with each class of the answer, the background
            left out, (K − 1, K − 1); NaN for a class that the label has not.
        dice: Mean Dice of the classes that the label has; 0 where it has none.
        dice_flipped: The same for the label flipped in its array along D, H and W.
        dice_shifted: The same for the label moved as its border would have it.
        dice_reordered: The same if its classes were those of the `best_order` of all.
        expected: Share of the scan that each class has in the answer, (K,).
    """

    overlaps: NDArray[np.float64]
    dice: float
    dice_flipped: tuple[float, float, float]
    dice_shifted: float
    dice_reordered: float
    expected: NDArray[np.float64]

    def dice_in(self, order: NDArray[np.intp]) -> float:
        """Mean Dice of the label's classes if they were those of an order, see `best_order`."""
        return _dice_in(self.overlaps, order)


def fit_atlas(cases: Sequence[CaseSummary]) -> list[AtlasFit]:
    """Fit the classifier on the other folds of each case and compare its answer with the label.

    Args:
        cases: At least `LEAST_CASES`, of one data set.

    Source:
        Place as prior and Gaussian intensities as likelihood are those of J. Ashburner & K.
        Friston, Unified segmentation (2005), here without registration.
    """
    num_classes = len(cases[0].voxels)
    folds = [np.arange(start, len(cases), FOLDS) for start in range(min(FOLDS, len(cases)))]
    sums = [_add_up([cases[index] for index in fold.tolist()], num_classes) for fold in folds]
    total = sum(sums[1:], sums[0].copy())
    fits: dict[int, AtlasFit] = {}
    for fold, own in zip(folds, sums, strict=True):
        model = _Model.of_sums(total - own, len(cases) - len(fold))
        for index in fold.tolist():
            fits[index] = _compare(cases[index], model.probabilities(cases[index].image))
    return [fits[index] for index in range(len(cases))]


def best_order(
    overlaps: NDArray[np.float64], among: NDArray[np.bool_] | None = None
) -> NDArray[np.intp]:
    """The answer's classes that a label's classes fit best, where each is used once.

    Args:
        overlaps: See `AtlasFit`.
        among: Classes that may change places, (K − 1,); all, where not given.

    Returns:
        One class from 1 up to K − 1 for each class of the label, (K − 1,); its own for one that the
        label has not, or that may not change.
    """
    count = len(overlaps)
    free = np.arange(count) if among is None else np.flatnonzero(among)
    present = free[np.isfinite(overlaps[free, free])]
    order = np.arange(1, count + 1)
    if len(present):
        # Ties go to the class itself: what cannot be told apart is left as it is.
        score = (overlaps + _TIE * np.eye(count))[np.ix_(present, free)]
        order[present] = free[linear_sum_assignment(score, maximize=True)[1]] + 1
    return order


def _add_up(cases: Sequence[CaseSummary], num_classes: int) -> NDArray[np.float32]:
    """For each class the cases that have it at a voxel, and sums of their intensities and squares.

    Returns:
        (K, 1 + 2 C, d, h, w).
    """
    channels, *shape = cases[0].image.shape
    sums = np.zeros((num_classes, 1 + 2 * channels, *shape), np.float32)
    for case in cases:
        image = case.image.astype(np.float32)
        moments = np.concatenate([np.ones((1, *shape), np.float32), image, image**2])
        for index in range(num_classes):
            sums[index] += np.where(case.label == index, moments, np.float32(0))
    return sums


@dataclass(frozen=True, eq=False)
class _Model:
    """Logarithm of each class' prior, (K, d, h, w), mean and variance, (K, C, d, h, w)."""

    log_prior: NDArray[np.float32]
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]

    @classmethod
    def of_sums(cls, sums: NDArray[np.float32], num_cases: int) -> _Model:
        channels = sums.shape[1] // 2
        overall = sums.sum(axis=(2, 3, 4), dtype=np.float64, keepdims=True).astype(np.float32)
        anywhere = overall[:, 1:] / np.maximum(overall[:, :1], 1)
        near = ndimage.gaussian_filter(sums, (0, 0, *(_SMOOTHING,) * 3), mode="nearest")
        seen = near[:, :1]
        chance = (seen[:, 0] + _LEAST_CHANCE) / (num_cases + _LEAST_CHANCE * len(sums))
        moments = (near[:, 1:] + _CASES_ASSUMED * anywhere) / (seen + _CASES_ASSUMED)
        mean, squares = moments[:, :channels], moments[:, channels:]
        return cls(np.log(chance), mean, np.maximum(squares - mean**2, _LEAST_VARIANCE))

    def probabilities(self, image: NDArray[np.float16]) -> NDArray[np.float32]:
        """Of each class at each voxel of an image (C, d, h, w): (K, d, h, w)."""
        surprise = (image.astype(np.float32) - self.mean) ** 2 / self.variance
        surprise += np.log(self.variance)
        return np.asarray(softmax(self.log_prior - 0.5 * surprise.sum(axis=1), axis=0))


def _compare(case: CaseSummary, answer: NDArray[np.float32]) -> AtlasFit:
    overlaps = _overlaps(case.label, answer)
    flips = [_mean_dice(np.flip(case.label, axis), answer) for axis in range(3)]
    shift = (0, 0, 0) if case.boundary is None else case.boundary.shift
    return AtlasFit(
        overlaps=overlaps,
        dice=_mean(overlaps.diagonal()),
        dice_flipped=(flips[0], flips[1], flips[2]),
        dice_shifted=_mean_dice(_moved(case.label, case, shift), answer),
        dice_reordered=_dice_in(overlaps, best_order(overlaps)),
        expected=answer.reshape(len(answer), -1).mean(axis=1, dtype=np.float64),
    )


def _overlaps(label: NDArray[np.uint8], answer: NDArray[np.float32]) -> NDArray[np.float64]:
    flat, chances = label.reshape(-1), answer.reshape(len(answer), -1)
    sizes = np.bincount(flat, minlength=len(answer))[1:]
    shared = np.stack(
        [np.bincount(flat, chance, minlength=len(answer))[1:] for chance in chances[1:]], axis=1
    )
    expected = chances[1:].sum(axis=1, dtype=np.float64)
    return np.where(sizes[:, None] > 0, 2 * shared / (sizes[:, None] + expected), np.nan)


def _dice_in(overlaps: NDArray[np.float64], order: NDArray[np.intp]) -> float:
    return _mean(overlaps[np.arange(len(order)), order - 1])


def _mean_dice(label: NDArray[np.uint8], answer: NDArray[np.float32]) -> float:
    return _mean(_overlaps(label, answer).diagonal())


def _mean(values: NDArray[np.float64]) -> float:
    """Mean of what is not NaN; 0 where nothing is known."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else 0.0


def _moved(label: NDArray[np.uint8], case: CaseSummary, shift: Shape3) -> NDArray[np.uint8]:
    cells = [
        round(voxels * cells / size)
        for voxels, cells, size in zip(shift, label.shape, case.shape, strict=True)
    ]
    return np.asarray(ndimage.shift(label, cells, order=0))
