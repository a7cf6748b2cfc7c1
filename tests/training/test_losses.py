"""Dice + cross-entropy against the formulas written out, and deep supervision's weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from volunet.training.losses import SegmentationLoss, class_weights

SMOOTH = 1e-5
"""MONAI adds it above and below, so that a class without voxels has a loss."""


def by_hand(logits: np.ndarray, label: np.ndarray) -> float:
    """Logits (N, K, D, H, W), label (N, 1, D, H, W): batch Dice of the foreground + mean CE."""
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    truth = (label == np.arange(logits.shape[1])[None, :, None, None, None]).astype(float)
    dice_losses = []
    for k in range(1, logits.shape[1]):
        p, g = shares[:, k], truth[:, k]
        dice_losses.append(1 - (2 * (p * g).sum() + SMOOTH) / (p.sum() + g.sum() + SMOOTH))
    cross_entropy = -np.log((shares * truth).sum(axis=1)).mean()
    return float(np.mean(dice_losses) + cross_entropy)


def label_of(count: int) -> torch.Tensor:
    """(1, 1, 2, 2, 2) with `count` voxels of class 1."""
    return (torch.arange(8) < count).long().reshape(1, 1, 2, 2, 2)


def perfect(label: torch.Tensor) -> torch.Tensor:
    return torch.cat([40.0 * (label == 0), 40.0 * (label == 1)], dim=1)


def test_undecided_network():
    # Every probability is ½: Dice loss 1 − 2·½·4 / (½·8 + 4) = ½, cross-entropy ln 2.
    loss = SegmentationLoss()(torch.zeros(1, 2, 2, 2, 2), label_of(4))
    assert loss.shape == ()
    # MONAI's smoothing of 1e-5 shifts the Dice by about as much.
    assert float(loss) == pytest.approx(0.5 + math.log(2), abs=1e-5)


def test_perfect_network():
    label = label_of(3)
    assert float(SegmentationLoss()(perfect(label), label)) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_random_logits(classes):
    rng = np.random.default_rng(classes)
    logits = rng.normal(size=(2, classes, 3, 4, 5))
    label = rng.integers(0, classes, (2, 1, 3, 4, 5))
    loss = SegmentationLoss()(torch.from_numpy(logits).float(), torch.from_numpy(label))
    # float32 sums of 120 terms.
    assert float(loss) == pytest.approx(by_hand(logits, label), abs=1e-5)


def test_patch_without_a_class_is_no_miss():
    full, empty = label_of(3), label_of(0)
    both = torch.cat([full, empty])
    # Taken over the batch the Dice is perfect; taken by patch, the empty one would count.
    assert float(SegmentationLoss()(perfect(both), both)) == pytest.approx(0.0, abs=1e-5)


def test_background_is_left_out_of_the_dice():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 2, 2, 2, 2))
    label = label_of(2).numpy()
    loss = float(SegmentationLoss()(torch.from_numpy(logits).float(), torch.from_numpy(label)))
    assert loss == pytest.approx(by_hand(logits, label), abs=1e-5)
    # With the classes' places changed, the Dice is the other class's, and another number.
    swapped = float(
        SegmentationLoss()(torch.from_numpy(logits[:, ::-1].copy()).float(), 1 - label_of(2))
    )
    assert abs(swapped - loss) > 1e-2


def test_deep_supervision_weights():
    label = label_of(4)
    undecided, right = torch.zeros(1, 2, 2, 2, 2), perfect(label)
    single = 0.5 + math.log(2)
    loss = SegmentationLoss()
    # Weights 4/7, 2/7, 1/7: one level at a time undecided.
    assert float(loss([undecided, right, right], label)) == pytest.approx(single * 4 / 7, abs=1e-4)
    assert float(loss([right, undecided, right], label)) == pytest.approx(single * 2 / 7, abs=1e-4)
    assert float(loss([right, right, undecided], label)) == pytest.approx(single / 7, abs=1e-4)
    assert float(loss([undecided], label)) == pytest.approx(single, abs=1e-4)


def test_gradient_points_to_the_label():
    logits = torch.zeros(1, 2, 2, 2, 2, requires_grad=True)
    SegmentationLoss()(logits, label_of(4)).backward()
    gradient = logits.grad[0, 1].flatten()
    assert bool((gradient[:4] < 0).all())
    assert bool((gradient[4:] > 0).all())


def test_rare_classes_weigh_more():
    # Shares 0.75 and 0.25 weigh 1/√0.75 and 2. An undecided network has cross-entropy ln 2 at every
    # voxel, whatever the weights; one that is wrong on the rare class alone is not so lucky.
    label = label_of(2)
    assert class_weights([0.75, 0.25]).tolist() == pytest.approx([1.1547005, 2.0])
    undecided = torch.zeros(1, 2, 2, 2, 2)
    plain, weighted = SegmentationLoss(), SegmentationLoss([0.75, 0.25])
    assert weighted(undecided, label).item() == pytest.approx(plain(undecided, label).item())
    background = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 2, 2, 2)
    right, wrong = math.log(1 + math.exp(-1)), math.log(1 + math.e)
    shares = np.array([6 / math.sqrt(0.75), 2 / math.sqrt(0.25)])
    expected = (shares * [right, wrong]).sum() / shares.sum() - (6 * right + 2 * wrong) / 8
    difference = weighted(background, label) - plain(background, label)
    assert difference.item() == pytest.approx(expected, abs=1e-6)


def test_absent_classes_weigh_as_the_rarest():
    assert class_weights([0.81, 0.01, 0.0]).tolist() == pytest.approx([1 / 0.9, 10.0, 10.0])
