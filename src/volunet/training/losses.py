"""The segmentation loss: MONAI's Dice + cross-entropy, over the outputs of deep supervision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn


class SegmentationLoss(nn.Module):
    """Dice + cross-entropy of logits against class indices.

    The Dice is taken over the whole batch, so that a patch without a class does not count as a
    miss, and leaves out the background. Of several outputs (deep supervision) each lower one counts
    half of the one above it; the weights sum to 1.

    Source:
        Dice loss, https://arxiv.org/abs/1606.04797; deep supervision's weights as in nnU-Net,
        https://doi.org/10.1038/s41592-020-01008-z.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loss = DiceCELoss(
            include_background=False, to_onehot_y=True, softmax=True, batch=True
        )

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
        losses = torch.stack([self._loss(output, label) for output in outputs])
        total: Tensor = (losses * (weights / weights.sum()).to(losses)).sum()
        return total
