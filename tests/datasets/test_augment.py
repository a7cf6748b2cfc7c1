"""Augmentation: labels stay labels, image and label move together, only planned axes mirror."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from volunet.datasets.augment import make_augmentation
from volunet.plan import NetworkPlan, Normalisation, Plan

SIZE = (16, 18, 20)
CUT = (20, 22, 24)


def plan_of(channels: int, mirror_axes: tuple[int, ...] = ()) -> Plan:
    return Plan(
        dataset="Test",
        channels=tuple(f"channel {index}" for index in range(channels)),
        spacing_mm=None,
        normalisation=(Normalisation(),) * channels,
        classes=("background", "one", "seven"),
        label_values=(0, 1, 7),
        colours=((0, 0, 0),) * 3,
        patch_size=SIZE,
        batch_size=1,
        mirror_axes=mirror_axes,
        network=NetworkPlan(in_channels=channels, out_channels=3),
    )


def augmented(plan: Plan, image: torch.Tensor, label: torch.Tensor, seed: int):
    torch.manual_seed(seed)
    np.random.seed(seed)
    answer = make_augmentation(plan)(image=image.clone(), segmentation=label.clone())
    return answer["image"], answer["segmentation"]


def ball() -> torch.Tensor:
    """A ball of radius 5 voxels, off the middle, so that turning and mirroring move it."""
    grid = np.indices(CUT)
    centre = np.array([8.0, 9.0, 8.0])[:, None, None, None]
    return torch.from_numpy(((grid - centre) ** 2).sum(axis=0) < 25)[None]


def dice(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("mirror_axes", [(), (0, 1, 2)], ids=["unmirrored", "mirrored"])
def test_sizes_and_label_values(mirror_axes):
    plan = plan_of(2, mirror_axes)
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.normal(size=(2, *CUT)).astype(np.float32))
    label = torch.from_numpy(rng.choice([0, 1, 2], (1, *CUT)).astype(np.int16))
    for seed in range(20):
        x, y = augmented(plan, image, label, seed)
        assert (x.shape, x.dtype) == ((2, *SIZE), torch.float32)
        assert (y.shape, y.dtype) == ((1, *SIZE), torch.int16)
        assert set(y.unique().tolist()) <= {0, 1, 2}
        assert bool(torch.isfinite(x).all())


def test_image_and_label_move_together():
    plan = plan_of(1, (0, 1, 2))
    label = ball()
    results = [augmented(plan, label.float(), label.to(torch.int16), seed) for seed in range(40)]
    balls = [(x > (x.min() + x.max()) / 2, y > 0) for x, y in results]
    overlaps = [dice(bright, inside) for bright, inside in balls]
    # Blur, noise, gamma and interpolation shift the half-way surface of a ball of radius 5 by under
    # a voxel, which is a Dice above 0.8; torn apart they agree far less, as the next lines show.
    assert min(overlaps) > 0.8
    torn = [dice(balls[seed][0], balls[seed + 1][1]) for seed in range(39)]
    assert min(torn) < 0.3
    assert np.mean(torn) < 0.7


@pytest.mark.parametrize(
    "mirror_axes", [(), (2,), (0, 1)], ids=["none", "left-right", "depth-height"]
)
def test_mirrors_only_along_the_plans_axes(mirror_axes):
    plan = plan_of(3, mirror_axes)
    # Channel a rises along axis a. Turning by 15° keeps the sign of its slope, mirroring flips it.
    ramps = np.stack([np.linspace(-1, 1, n)[i] for n, i in zip(CUT, np.indices(CUT), strict=True)])
    image = torch.from_numpy(ramps.astype(np.float32))
    label = torch.zeros((1, *CUT), dtype=torch.int16)
    flips = np.zeros(3, int)
    for seed in range(60):
        x, _ = augmented(plan, image, label, seed)
        for axis in range(3):
            first, last = x[axis].swapaxes(0, axis)[[0, -1]].mean(dim=(1, 2)).tolist()
            flips[axis] += last < first
    for axis in range(3):
        if axis in mirror_axes:
            # Half of 60, within 4 standard deviations of 3.9.
            assert 15 <= flips[axis] <= 45
        else:
            assert flips[axis] == 0


def test_it_changes_most_patches():
    plan = plan_of(1)
    label = ball()
    middle = tuple(slice((c - s) // 2, (c - s) // 2 + s) for c, s in zip(CUT, SIZE, strict=True))
    unmoved = label[(slice(None), *middle)].float()
    changed = [
        not torch.equal(augmented(plan, label.float(), label.to(torch.int16), seed)[0], unmoved)
        for seed in range(40)
    ]
    # Left alone with probability 0.6² · 0.85 · 0.9² · 0.8³ = 0.13; of 40 within 4 SD of 2.1.
    assert 26 <= sum(changed) < 40
