"""What losses are made of: means over voxels, overlaps of classes, distances to boundaries.

A term answers a scalar for the logits of one output. Whatever of the truth several terms or outputs
need, such as the distance maps, is computed once, in `Truth`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from monai.losses import FocalLoss
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects
from torch import Tensor, nn

FOCUS: Final = 2.0
"""Exponent γ of the focal loss: a voxel that is right with probability 0.9 counts a hundredth of
what it does in the cross-entropy. The paper's best."""

_FOCAL: Final = FocalLoss(gamma=FOCUS, use_softmax=True, reduction="none")


@dataclass(frozen=True)
class Truth:
    """The label of a batch, and what follows from it.

    Attributes:
        label: Class indices, (N, 1, D, H, W), int64.
        num_classes: Classes, the background included.
    """

    label: Tensor
    num_classes: int

    @cached_property
    def one_hot(self) -> Tensor:
        """1 at each voxel's own class, else 0, (N, K, D, H, W), float32."""
        return F.one_hot(self.label[:, 0], self.num_classes).movedim(-1, 1).float()

    @cached_property
    def distances(self) -> Tensor:
        """Voxels to the boundary of each foreground class, (N, K − 1, D, H, W), float32.

        Negative inside the class. See `signed_distance`.
        """
        label = self.label[:, 0].cpu().numpy()
        maps = [[signed_distance(case == k) for k in range(1, self.num_classes)] for case in label]
        stacked = np.asarray(maps, np.float32).reshape(
            len(label), self.num_classes - 1, *label.shape[1:]
        )
        return torch.from_numpy(stacked).to(self.label.device)


PerVoxel = Callable[[Tensor, Truth], Tensor]
"""Logits (N, K, D, H, W) and the truth → a loss at each voxel, (N, D, H, W)."""


def squared_error(logits: Tensor, truth: Truth) -> Tensor:
    """Σₖ (pₖ − gₖ)² at each voxel, 0…2, (N, D, H, W); p is the softmax, g the one-hot label.

    Source:
        Brier, Verification of forecasts expressed in terms of probability, 1950.
    """
    return (logits.softmax(dim=1) - truth.one_hot).square().sum(dim=1)


def absolute_error(logits: Tensor, truth: Truth) -> Tensor:
    """Σₖ |pₖ − gₖ| at each voxel, 0…2, (N, D, H, W), which is twice the true class' shortfall."""
    return (logits.softmax(dim=1) - truth.one_hot).abs().sum(dim=1)


def cross_entropy(logits: Tensor, truth: Truth) -> Tensor:
    """−ln of the true class' probability at each voxel, (N, D, H, W)."""
    return F.cross_entropy(logits, truth.label[:, 0], reduction="none")


def focal(logits: Tensor, truth: Truth) -> Tensor:
    """−(1 − p)^`FOCUS` · ln p of the true class at each voxel, (N, D, H, W).

    Source:
        Focal loss, https://arxiv.org/abs/1708.02002, equation 5.
    """
    by_class: Tensor = _FOCAL(logits, truth.one_hot)
    return by_class.sum(dim=1)


class VoxelMean(nn.Module):
    """The mean over the batch's voxels, each weighing as its class does.

    Args:
        per_voxel: The loss of each voxel.
        class_weights: Weight of each class, background first; None: all the same.
    """

    def __init__(self, per_voxel: PerVoxel, class_weights: Tensor | None) -> None:
        super().__init__()
        self._per_voxel = per_voxel
        self.register_buffer("class_weights", class_weights)
        self.class_weights: Tensor | None

    def forward(self, logits: Tensor, truth: Truth) -> Tensor:
        """Logits (N, K, D, H, W) → a scalar."""
        losses = self._per_voxel(logits, truth)
        if self.class_weights is None:
            return losses.mean()
        weights = self.class_weights[truth.label[:, 0]]
        return (weights * losses).sum() / weights.sum()


class Overlap(nn.Module):
    """An overlap of the foreground classes, taken over the whole batch.

    A patch without a class does not count as a miss then, and the background is left out.

    Args:
        of_probabilities: One of MONAI's losses of logits and one-hot labels.
    """

    def __init__(self, of_probabilities: nn.Module) -> None:
        super().__init__()
        self._of_probabilities = of_probabilities

    def forward(self, logits: Tensor, truth: Truth) -> Tensor:
        """Logits (N, K, D, H, W) → a scalar, 0…1."""
        loss: Tensor = self._of_probabilities(logits, truth.one_hot)
        return loss


class BoundaryDistance(nn.Module):
    """Mean over voxels and foreground classes of (p − g) · φ, in voxels.

    φ is the signed distance to the class' boundary, so that a wrong voxel counts the more, the
    farther it is from where it would be right. Both factors have the same sign everywhere, so that
    the loss is 0 for the truth and larger for all else. A class that is absent, or that fills its
    patch, has no boundary and adds nothing.

    Source:
        Boundary loss, https://arxiv.org/abs/1812.07032, equation 5, whose part that no network
        changes, − g · φ, is kept here, as it makes the truth's loss 0.
    """

    def forward(self, logits: Tensor, truth: Truth) -> Tensor:
        """Logits (N, K, D, H, W) → a scalar."""
        wrong = (logits.softmax(dim=1) - truth.one_hot)[:, 1:]
        return (wrong * truth.distances).mean()


class WeightedSum(nn.Module):
    """Terms, each times its weight, added.

    Args:
        terms: The terms with their weights.
    """

    def __init__(self, *terms: tuple[nn.Module, float]) -> None:
        super().__init__()
        self._terms = nn.ModuleList(term for term, _ in terms)
        self._weights = tuple(weight for _, weight in terms)

    def forward(self, logits: Tensor, truth: Truth) -> Tensor:
        """Logits (N, K, D, H, W) → a scalar."""
        losses = [
            weight * term(logits, truth)
            for term, weight in zip(self._terms, self._weights, strict=True)
        ]
        return torch.stack(losses).sum()


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of each voxel's middle to the boundary of a mask, negative inside.

    The boundary lies half way between a voxel inside and one outside. A mask without one, as it is
    empty or full, has 0 everywhere.

    Args:
        mask: (D, H, W).

    Returns:
        Distances in voxels, (D, H, W).

    Example:
        >>> signed_distance(np.array([[[False, False, True, True]]])).tolist()
        [[[1.5, 0.5, -0.5, -1.5]]]
    """
    if not mask.any() or mask.all():
        return np.zeros(mask.shape)
    distance = np.where(mask, 0.0, distance_transform_edt(~mask) - 0.5)
    # From inside, what is nearest outside lies within one voxel of the mask's box.
    box = tuple(
        slice(max(0, part.start - 1), part.stop + 1)
        for part in find_objects(mask.astype(np.uint8))[0]
    )
    inside = mask[box]
    distance[box] -= np.where(inside, distance_transform_edt(inside) - 0.5, 0.0)
    return distance
