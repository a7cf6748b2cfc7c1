"""A segmentation is fitted to a loss of its classes' logits, and scored by the mean Dice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import torch
from monai.metrics import DiceMetric
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import one_hot

from volunet.plan import Plan
from volunet.tasks.segmentation.class_presence import can_validate
from volunet.tasks.segmentation.losses import SegmentationLoss
from volunet.tasks.segmentation.plan import segmentation_of

_SURE: Final = 12.0
"""Logit of a perfect output's class, beside 0: a probability of 1 − 6e-6, as in a network that has
learnt its batch. A surer one would take Dice's smoothing of an absent class for a hit."""


def make_objective(plan: Plan) -> SegmentationObjective:
    """See `volunet.tasks.objective.objective_of`."""
    return SegmentationObjective(plan)


class SegmentationObjective:
    """Targets are class indices, (N, 1, D, H, W), int64.

    Implements `volunet.tasks.objective.Objective`, which documents the methods.

    Args:
        plan: The plan of a segmentation.
    """

    def __init__(self, plan: Plan) -> None:
        self._classes = segmentation_of(plan).classes
        self._fractions = None if plan.fingerprint is None else plan.fingerprint.class_fractions

    def make_loss(self, name: str) -> SegmentationLoss:
        """Classes weigh by their shares of the data set's voxels, where the plan knows them."""
        return SegmentationLoss(name, self._fractions)

    def make_score(self) -> DiceScore:
        """See `DiceScore`."""
        return DiceScore(len(self._classes))

    def can_validate(self, taught: Iterable[ArrayLike], shown: Iterable[ArrayLike]) -> bool:
        """Only if they show any foreground."""
        return can_validate(self._classes, taught, shown)

    def random_target(self, batch_size: int, size: Sequence[int], device: torch.device) -> Tensor:
        """Every class as often."""
        return torch.randint(0, len(self._classes), (batch_size, 1, *size), device=device)

    def perfect_output(self, target: Tensor) -> Tensor:
        """Logits that say a label with certainty."""
        return _SURE * _masks(target[:, 0], len(self._classes)).float()


class DiceScore:
    """Mean over the foreground classes of the mean over the cases in which the class is present.

    Args:
        num_classes: Classes, the background included.
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._metric = DiceMetric(include_background=False, reduction="none", ignore_empty=True)

    def add(self, output: Tensor, target: Tensor) -> None:
        """See `volunet.tasks.objective.Score`."""
        self._metric(
            y_pred=_masks(output.argmax(dim=1), self._num_classes),
            y=_masks(target[:, 0], self._num_classes),
        )

    def take(self) -> Tensor | None:
        """0 without any foreground, never NaN."""
        if self._metric.get_buffer() is None:
            return None
        scores = self._metric.aggregate()
        self._metric.reset()
        return torch.nan_to_num(torch.nanmean(torch.nanmean(scores, dim=0)), nan=0.0)


def _masks(indices: Tensor, num_classes: int) -> Tensor:
    """Class indices (N, D, H, W) as masks (N, K, D, H, W)."""
    return one_hot(indices, num_classes).movedim(-1, 1)
