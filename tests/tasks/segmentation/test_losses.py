"""Each loss against its formula by hand, and what all of them have in common."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch

from volunet.errors import ConfigError
from volunet.tasks.segmentation import loss_terms
from volunet.tasks.segmentation.losses import (
    BOUNDARY_WEIGHT,
    LOSSES,
    SegmentationLoss,
    class_weights,
)
from volunet.tasks.segmentation.plan import LossName

SMOOTH = 1e-5
"""MONAI adds it above and below, so that a class without voxels has a loss."""

NAMES = tuple(LOSSES)
every_loss = pytest.mark.parametrize("name", NAMES)

FOREGROUND = (0.1, 0.4, 0.5, 0.8)
"""Probability of class 1 at four voxels in a row, of which the last two are of class 1."""

RIGHT = (0.9, 0.6, 0.5, 0.8)
"""The same of each voxel's own class."""

OVERLAP = 0.5 + 0.8
PREDICTED = sum(FOREGROUND)
DICE = 1 - 2 * OVERLAP / (PREDICTED + 2)
CROSS_ENTROPIES = [-math.log(p) for p in RIGHT]
FOCAL = [(1 - p) ** 2 * -math.log(p) for p in RIGHT]
SQUARED_ERRORS = [2 * (1 - p) ** 2 for p in RIGHT]
ABSOLUTE_ERRORS = [2 * (1 - p) for p in RIGHT]
# Half voxels to the boundary, outside then inside, times what is missing to the truth.
BOUNDARY = (1.5 * 0.1 + 0.5 * 0.4 + 0.5 * 0.5 + 1.5 * 0.2) / 4

BY_HAND = {
    "squared_error": sum(SQUARED_ERRORS) / 4,
    "l1": sum(ABSOLUTE_ERRORS) / 4,
    "cross_entropy": sum(CROSS_ENTROPIES) / 4,
    "dice": DICE,
    "dice_cross_entropy": DICE + sum(CROSS_ENTROPIES) / 4,
    "focal": sum(FOCAL) / 4,
    # 0.5 of voxels too many count 0.3, 0.7 of voxels too few count 0.7.
    "tversky": 1 - OVERLAP / (OVERLAP + 0.3 * 0.5 + 0.7 * 0.7),
    "boundary": DICE + BOUNDARY_WEIGHT * BOUNDARY,
}


def four_voxels() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (1, 2, 1, 1, 4) of `FOREGROUND`, and their label (1, 1, 1, 1, 4)."""
    foreground = torch.tensor(FOREGROUND).reshape(1, 1, 1, 1, 4)
    label = torch.tensor([0, 0, 1, 1]).reshape(1, 1, 1, 1, 4)
    return torch.cat([1 - foreground, foreground], dim=1).log(), label


def random_batch(classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2, classes, 3, 4, 5) and a label of every class."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(2, classes, 3, 4, 5))).float()
    return logits, torch.from_numpy(rng.integers(0, classes, (2, 1, 3, 4, 5)))


def dice_cross_entropy(logits: np.ndarray, label: np.ndarray) -> float:
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


def sure(label: torch.Tensor, classes: int = 2) -> torch.Tensor:
    """Logits of a network that answers `label` with certainty."""
    return torch.cat([40.0 * (label == k) for k in range(classes)], dim=1)


def test_each_name_of_the_plan_has_a_loss():
    assert set(LOSSES) == set(get_args(LossName))
    assert set(BY_HAND) == set(LOSSES)


def test_dice_and_cross_entropy_where_nobody_says():
    logits, label = random_batch()
    expected = SegmentationLoss("dice_cross_entropy")(logits, label)
    assert float(SegmentationLoss()(logits, label)) == float(expected)


@every_loss
def test_value_by_hand(name):
    loss = SegmentationLoss(name)(*four_voxels())
    assert loss.shape == ()
    # MONAI's smoothing of 1e-5 shifts an overlap by less than itself.
    assert float(loss) == pytest.approx(BY_HAND[name], abs=SMOOTH)


@pytest.mark.parametrize(
    ("name", "losses"),
    [
        ("squared_error", SQUARED_ERRORS),
        ("l1", ABSOLUTE_ERRORS),
        ("cross_entropy", CROSS_ENTROPIES),
        ("focal", FOCAL),
    ],
)
def test_rare_classes_weigh_more(name, losses):
    # Shares of 0.81 and 0.09 weigh 1/0.9 and 1/0.3: a voxel of class 1 counts three times.
    expected = (losses[0] + losses[1] + 3 * (losses[2] + losses[3])) / 8
    weighted = SegmentationLoss(name, [0.81, 0.09])(*four_voxels())
    assert float(weighted) == pytest.approx(expected, abs=1e-6)
    assert abs(expected - BY_HAND[name]) > 0.01


@pytest.mark.parametrize("name", ["dice", "tversky", "boundary"])
def test_overlap_needs_no_weights(name):
    weighted = SegmentationLoss(name, [0.81, 0.09])(*four_voxels())
    assert float(weighted) == pytest.approx(BY_HAND[name], abs=SMOOTH)


def test_absent_classes_weigh_as_the_rarest():
    assert class_weights([0.81, 0.01, 0.0]).tolist() == pytest.approx([1 / 0.9, 10.0, 10.0])


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_random_logits(classes):
    logits, label = random_batch(classes, seed=classes)
    expected = dice_cross_entropy(logits.double().numpy(), label.numpy())
    # float32 sums of 120 terms.
    assert float(SegmentationLoss()(logits, label)) == pytest.approx(expected, abs=1e-5)


@every_loss
def test_right_is_lower_than_undecided_and_that_than_wrong(name):
    label = label_of(4)
    loss = SegmentationLoss(name)
    right = float(loss(sure(label), label))
    undecided = float(loss(torch.zeros(1, 2, 2, 2, 2), label))
    wrong = float(loss(sure(1 - label), label))
    assert right == pytest.approx(0.0, abs=SMOOTH)
    assert right + 0.1 < undecided < wrong - 0.1


@every_loss
def test_gradient_points_to_the_label(name):
    logits = torch.zeros(1, 2, 2, 2, 2, requires_grad=True)
    SegmentationLoss(name)(logits, label_of(4)).backward()
    gradient = logits.grad[0, 1].flatten()
    assert float(gradient[:4].max()) < 0
    assert float(gradient[4:].min()) > 0


@pytest.mark.parametrize("name", ["dice", "tversky"])
def test_background_is_left_out_of_the_overlap(name):
    # With the classes' places changed it is that of the other class: 0.9 + 0.6 of 2 voxels.
    logits, label = four_voxels()
    expected = {
        "dice": 1 - 2 * 1.5 / (2.2 + 2),
        "tversky": 1 - 1.5 / (1.5 + 0.3 * 0.7 + 0.7 * 0.5),
    }
    swapped = SegmentationLoss(name)(logits.flip(1), 1 - label)
    assert float(swapped) == pytest.approx(expected[name], abs=SMOOTH)


@every_loss
def test_patch_without_a_class_is_no_miss(name):
    both = torch.cat([label_of(3), label_of(0)])
    # Taken over the batch the overlap is perfect; taken by patch, the empty one would count.
    loss = SegmentationLoss(name)
    assert float(loss(sure(both), both)) == pytest.approx(0.0, abs=SMOOTH)
    # Nor is a class that no patch of the batch has, if nothing answers it.
    assert float(loss(sure(both, classes=3), both)) == pytest.approx(0.0, abs=SMOOTH)


@pytest.mark.parametrize(
    "label",
    [
        pytest.param(torch.tensor([0, 1, 0, 1, 1, 0, 0, 0]).reshape(2, 1, 1, 2, 2), id="absent"),
        pytest.param(torch.zeros(2, 1, 1, 2, 2, dtype=torch.int64), id="background"),
        pytest.param(torch.ones(2, 1, 1, 2, 2, dtype=torch.int64), id="foreground"),
        pytest.param(torch.zeros(1, 1, 1, 1, 1, dtype=torch.int64), id="voxel of background"),
        pytest.param(torch.full((1, 1, 1, 1, 1), 2), id="voxel of foreground"),
    ],
)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4], ids=["undecided", "random", "certain"])
@every_loss
def test_finite_value_and_gradient(name, label, scale):
    # Three classes, at most two of which are in the label.
    size = (len(label), 3, *label.shape[2:])
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=size)).float()
    logits = (scale * noise).requires_grad_()
    loss = SegmentationLoss(name, [0.9, 0.1, 0.0])(logits, label)
    loss.backward()
    assert math.isfinite(loss.item())
    assert bool(torch.isfinite(logits.grad).all())
    # Certain logits may be where a loss is flat; elsewhere a batch that has a class pulls at it.
    if scale == 1.0 and len(label.unique()) > 1:
        assert float(logits.grad.norm()) > 1e-2


@every_loss
def test_deep_supervision_weights(name):
    label = random_batch()[1]
    outputs = [random_batch(seed=seed)[0] for seed in (1, 2, 3)]
    loss = SegmentationLoss(name, [0.5, 0.3, 0.2])
    single = [float(loss(output, label)) for output in outputs]
    assert min(abs(single[0] - single[1]), abs(single[1] - single[2])) > 1e-3
    expected = (4 * single[0] + 2 * single[1] + single[2]) / 7
    assert float(loss(outputs, label)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(outputs[:1], label)) == pytest.approx(single[0], rel=1e-6)


def test_deep_supervision_measures_distances_once(monkeypatch):
    calls = []

    def counted(mask):
        calls.append(mask.shape)
        return np.zeros(mask.shape)

    monkeypatch.setattr(loss_terms, "signed_distance", counted)
    logits, label = random_batch()
    SegmentationLoss("boundary")([logits, logits, logits], label)
    # Two patches, two foreground classes.
    assert calls == [(3, 4, 5)] * 4


@every_loss
def test_order_of_voxels(name):
    logits, _ = random_batch()
    # Each class is a slab, so that its boundary is in one place.
    label = (torch.arange(60) // 20).reshape(1, 1, 3, 4, 5).repeat(2, 1, 1, 1, 1)
    order = torch.from_numpy(np.random.default_rng(1).permutation(60))
    permuted = [x.flatten(2)[..., order].reshape(x.shape) for x in (logits, label)]
    loss = SegmentationLoss(name, [0.5, 0.3, 0.2])
    change = abs(float(loss(*permuted)) - float(loss(logits, label)))
    if name == "boundary":
        # Only this one knows which voxels are neighbours.
        assert change > 1e-4
    else:
        # float32 sums in another order.
        assert change < 1e-5


@every_loss
def test_rounded_logits_are_computed_in_float32(name):
    logits, label = random_batch()
    rounded = logits.bfloat16().requires_grad_()
    loss = SegmentationLoss(name, [0.5, 0.3, 0.2])
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(rounded, label)
    assert value.dtype == torch.float32
    # Within a millionth, where bfloat16 has three digits.
    assert float(value.detach()) == pytest.approx(float(loss(rounded.detach().float(), label)))
    value.backward()
    assert rounded.grad.dtype == torch.bfloat16
    assert bool(torch.isfinite(rounded.grad).all())


def test_unknown_name():
    with pytest.raises(ConfigError, match="loss hinge: no such loss") as caught:
        SegmentationLoss("hinge")
    assert caught.value.expected == f"Losses are {', '.join(get_args(LossName))}."
