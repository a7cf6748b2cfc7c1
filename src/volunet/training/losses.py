"""The segmentation loss: MONAI's Dice + weighted cross-entropy, also over deep supervision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn


class SegmentationLoss(nn.Module):
    """Dice + cross-entropy of logits against class indices.

    The Dice is taken over the whole batch, so that a patch without a class does not count as a
    miss, and leaves out the background. The cross-entropy weighs each class by 1 / √(its share of
    the voxels): unweighted, a foreground of 3 % of the voxels hardly counts in it, and Dice alone
    is slow to tell classes apart that look alike, such as left and right. Of several outputs (deep
    supervision) each lower one counts half of the one above it; the weights sum to 1.

    Args:
        class_fractions: Each class' share of all voxels, background first; classes that are absent
            count as the rarest that is there. None: every class weighs the same.

    Source:
        Dice loss, https://arxiv.org/abs/1606.04797; deep supervision's weights as in nnU-Net,
        https://doi.org/10.1038/s41592-020-01008-z.
    """

    def __init__(self, class_fractions: Sequence[float] | None = None) -> None:
        super().__init__()
        self._dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
        weights = None if class_fractions is None else class_weights(class_fractions)
        self._cross_entropy = nn.CrossEntropyLoss(weights)

    def forward(self, logits: Tensor | Sequence[Tensor], label: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            logits: (N, K, D, H, W), or several of them.
            label: Class indices, (N, 1, D, H, W), int64.

        Returns:
            A scalar.
        """
        outputs = [logits] if isinstance(logits, Tensor) else list(logits)
        weights = torch.tensor([0.5**level for level in range(len(outputs))])
        losses = torch.stack(
            [
                self._dice(output, label) + self._cross_entropy(output, label[:, 0])
                for output in outputs
            ]
        )
        total: Tensor = (losses * (weights / weights.sum()).to(losses)).sum()
        return total


def class_weights(class_fractions: Sequence[float]) -> Tensor:
    """Weight of each class in the cross-entropy, 1 / √share.

    Example:
        >>> class_weights([0.81, 0.01, 0.0]).tolist()
        [1.1111111640930176, 10.0, 10.0]
    """
    shares = torch.tensor(class_fractions)
    least = shares[shares > 0].min() if (shares > 0).any() else torch.tensor(1.0)
    return torch.clamp(shares, min=float(least)) ** -0.5
