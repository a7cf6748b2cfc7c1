"""Losses by name, each of them also over deep supervision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import torch
from monai.losses import DiceLoss, TverskyLoss
from torch import Tensor, nn

from volunet.errors import ConfigError
from volunet.tasks.segmentation.loss_terms import (
    BoundaryDistance,
    Overlap,
    Truth,
    VoxelMean,
    WeightedSum,
    absolute_error,
    cross_entropy,
    focal,
    squared_error,
)

FALSE_POSITIVE_WEIGHT: Final = 0.3
"""Of a voxel too many in the Tversky loss; one too few weighs the rest of 1. The paper's best."""

BOUNDARY_WEIGHT: Final = 0.01
"""Of a voxel of mean distance beside the Dice loss: what the paper begins with. With fresh weights
distances then pull half as hard as the overlap, and less once far errors are gone."""


class SegmentationLoss(nn.Module):
    """A loss of logits against class indices.

    Losses that are means over voxels (``squared_error``, ``l1``, ``cross_entropy``, ``focal``)
    weigh each class by 1 / √(its share of the voxels): unweighted, a foreground of 3 % of the
    voxels hardly counts. Losses of overlap (``dice``, ``tversky``) are taken over the whole batch,
    so that a patch without a class does not count as a miss, and leave out the background.
    ``dice_cross_entropy`` adds one of each: Dice alone is slow to tell classes apart that look
    alike, such as left and right. ``boundary`` adds distances to ``dice``, which alone would say
    nothing of a class that is absent.

    Of several outputs (deep supervision) each lower one counts half of the one above it; the
    weights sum to 1. All is computed in float32, whatever the logits are.

    Every loss but ``boundary`` is blind to where voxels are: the same permutation of logits and
    label leaves it as it is.

    Args:
        name: A key of `LOSSES`.
        class_fractions: Each class' share of all voxels, background first; classes that are absent
            count as the rarest that is there. None: every class weighs the same.

    Raises:
        ConfigError: There is no loss of this name.

    Source:
        Dice loss, https://arxiv.org/abs/1606.04797; deep supervision's weights as in nnU-Net,
        https://doi.org/10.1038/s41592-020-01008-z; the others at their terms.
    """

    def __init__(
        self,
        name: str = "dice_cross_entropy",
        class_fractions: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if name not in LOSSES:
            raise ConfigError(
                f"loss {name}",
                "no such loss",
                f"Losses are {', '.join(LOSSES)}.",
                "Take one of these.",
            )
        weights = None if class_fractions is None else class_weights(class_fractions)
        self._term = LOSSES[name](weights)

    def forward(self, logits: Tensor | Sequence[Tensor], label: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            logits: (N, K, D, H, W), or several of them.
            label: Class indices, (N, 1, D, H, W), int64.

        Returns:
            A scalar, float32.
        """
        outputs = [logits] if isinstance(logits, Tensor) else list(logits)
        truth = Truth(label, outputs[0].shape[1])
        weights = torch.tensor([0.5**level for level in range(len(outputs))])
        losses = torch.stack([self._term(output.float(), truth) for output in outputs])
        total: Tensor = (losses * (weights / weights.sum()).to(losses)).sum()
        return total


def class_weights(class_fractions: Sequence[float]) -> Tensor:
    """Weight of each class in a mean over voxels, 1 / √share.

    Example:
        >>> class_weights([0.81, 0.01, 0.0]).tolist()
        [1.1111111640930176, 10.0, 10.0]
    """
    shares = torch.tensor(class_fractions)
    least = shares[shares > 0].min() if (shares > 0).any() else torch.tensor(1.0)
    return torch.clamp(shares, min=float(least)) ** -0.5


def _dice() -> nn.Module:
    return Overlap(DiceLoss(include_background=False, softmax=True, batch=True))


def _tversky() -> nn.Module:
    """Source: Tversky loss, https://arxiv.org/abs/1706.05721."""
    return Overlap(
        TverskyLoss(
            include_background=False,
            softmax=True,
            batch=True,
            alpha=FALSE_POSITIVE_WEIGHT,
            beta=1 - FALSE_POSITIVE_WEIGHT,
        )
    )


LOSSES: Final[Mapping[str, Callable[[Tensor | None], nn.Module]]] = MappingProxyType(
    {
        "dice_cross_entropy": lambda weights: WeightedSum(
            (_dice(), 1.0), (VoxelMean(cross_entropy, weights), 1.0)
        ),
        "cross_entropy": lambda weights: VoxelMean(cross_entropy, weights),
        "dice": lambda _: _dice(),
        "focal": lambda weights: VoxelMean(focal, weights),
        "tversky": lambda _: _tversky(),
        "boundary": lambda _: WeightedSum((_dice(), 1.0), (BoundaryDistance(), BOUNDARY_WEIGHT)),
        "squared_error": lambda weights: VoxelMean(squared_error, weights),
        "l1": lambda weights: VoxelMean(absolute_error, weights),
    }
)
"""What makes each loss, given the weight of each class in means over voxels."""
