"""Augmentation: labels stay labels, image and label move together, strength by strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from hypothesis import given
from hypothesis import strategies as st

from volunet.datasets.augment import (
    LARGEST_BLUR_RADIUS,
    STRENGTHS,
    largest_angle,
    make_augmentation,
)
from volunet.plan import Augmentation, NetworkPlan, Normalisation, Plan, Regularisation, Size3
from volunet.tasks.segmentation.plan import Segmentation

SIZE = (16, 18, 20)
CUT = (20, 22, 24)


def plan_of(
    channels: int,
    mirror_axes: tuple[int, ...] = (),
    strength: Augmentation = "moderate",
    size: Size3 = SIZE,
) -> Plan:
    return Plan(
        dataset="Test",
        channels=tuple(f"channel {index}" for index in range(channels)),
        spacing_mm=None,
        normalisation=(Normalisation(),) * channels,
        task=Segmentation(
            classes=("background", "one", "seven"), label_values=(0, 1, 7), colours=((0, 0, 0),) * 3
        ),
        patch_size=size,
        batch_size=1,
        mirror_axes=mirror_axes,
        regularisation=Regularisation(augmentation=strength),
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


@pytest.mark.parametrize("strength", ["light", "moderate", "strong"])
@pytest.mark.parametrize("mirror_axes", [(), (0, 1, 2)], ids=["unmirrored", "mirrored"])
def test_sizes_and_label_values(mirror_axes, strength):
    plan = plan_of(2, mirror_axes, strength)
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.normal(size=(2, *CUT)).astype(np.float32))
    label = torch.from_numpy(rng.choice([0, 1, 2], (1, *CUT)).astype(np.int16))
    for seed in range(20):
        x, y = augmented(plan, image, label, seed)
        assert (x.shape, x.dtype) == ((2, *SIZE), torch.float32)
        assert (y.shape, y.dtype) == ((1, *SIZE), torch.int16)
        assert set(y.unique().tolist()) <= {0, 1, 2}
        assert bool(torch.isfinite(x).all())


def test_none_leaves_patches_as_they_are():
    assert make_augmentation(plan_of(1, (0, 1, 2), "none")) is None


@pytest.mark.parametrize(
    ("axis", "plane"), [(0, (1, 2)), (1, (0, 2)), (2, (0, 1))], ids=["D", "H", "W"]
)
def test_a_rotation_leaves_its_own_axis(axis, plane):
    # What the library takes as the rotation about axis k leaves what varies along k alone.
    turn = SpatialTransform(
        SIZE, 0, False, p_rotation=1.0, rotation=lambda dim, **_: 0.3 if dim == axis else 0.0
    )
    for along in range(3):
        ramp = torch.linspace(0, 1, CUT[along]).reshape([-1 if i == along else 1 for i in range(3)])
        image = ramp.expand(CUT)[None].contiguous()
        start = [(cut - size) // 2 for cut, size in zip(CUT, SIZE, strict=True)]
        middle = tuple(slice(at + 4, at + size - 4) for at, size in zip(start, SIZE, strict=True))
        turned = turn(image=image)["image"][0, 4:-4, 4:-4, 4:-4]
        moved = float((turned - image[0][middle]).abs().max())
        assert (moved > 0.05) == (along in plane), along


def test_rotations_lean_as_far_in_mm_on_long_voxels():
    plan = plan_of(1).model_copy(update={"spacing_mm": (5.0, 0.8, 0.8)})
    spatial = make_augmentation(plan).transforms[0]
    np.random.seed(0)
    angles = np.rad2deg([[spatial.rotation(dim=dim) for _ in range(500)] for dim in range(3)])
    largest = np.abs(angles).max(axis=1)
    # In plane up to 15 degrees; about the others tan 15° · 0.8 / 5 is that of 2.45.
    assert 14.9 < largest[0] < 15.0
    assert (largest[1:] > 2.43).all()
    assert (largest[1:] < 2.46).all()
    assert np.abs(angles.mean(axis=1)).max() < 0.1 * largest.max()


@given(angle=st.floats(0.01, 1.2), first=st.floats(0.1, 10.0), second=st.floats(0.1, 10.0))
def test_the_largest_angle_leans_no_further(angle, first, second):
    turned = largest_angle(angle, first, second)
    assert turned == largest_angle(angle, second, first)
    # A line along either axis, turned among voxels, leans so far in mm.
    leans = [np.arctan(np.tan(turned) * ratio) for ratio in (first / second, second / first)]
    assert max(leans) == pytest.approx(angle)


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


def share_changed(strength: Augmentation, count: int = 60) -> float:
    """Share of patches that are not the middle of what was cut."""
    plan = plan_of(1, (), strength)
    label = ball()
    middle = tuple(slice((c - s) // 2, (c - s) // 2 + s) for c, s in zip(CUT, SIZE, strict=True))
    unmoved = label[(slice(None), *middle)].float()
    changed = [
        not torch.equal(augmented(plan, label.float(), label.to(torch.int16), seed)[0], unmoved)
        for seed in range(count)
    ]
    return sum(changed) / count


@pytest.mark.parametrize(
    ("strength", "alone"),
    [
        # Left alone by rotation, zoom and elastic deformation, then by noise, blur, brightness,
        # contrast, low resolution and gamma.
        ("light", 0.8**2 * 0.925 * 0.95 * 0.9 * 0.9 * 0.95 * 0.9),
        ("moderate", 0.6**2 * 0.85 * 0.9 * 0.8 * 0.8 * 0.9 * 0.8),
        ("strong", 0.4**2 * 0.8 * 0.775 * 0.85 * 0.7 * 0.7 * 0.85 * 0.7),
    ],
)
def test_the_stronger_the_more_patches_are_changed(strength, alone):
    # Three standard deviations of a share of 60 are at most 0.19. Contrast and gamma may leave an
    # image of two values as it is, so that some more stay.
    assert 1 - alone - 0.25 < share_changed(strength) < 1 - alone + 0.19


def test_the_stronger_the_wider_the_ranges():
    light, moderate, strong = (STRENGTHS[name] for name in ("light", "moderate", "strong"))
    for less, more in ((light, moderate), (moderate, strong)):
        assert less.rotation_rad < more.rotation_rad
        for name in ("scaling", "contrast", "gamma"):
            (low, high), (lower, higher) = getattr(less, name), getattr(more, name)
            assert lower < low < 1 < high < higher
        assert less.spatial < more.spatial
        assert less.intensity < more.intensity
        assert less.elastic <= more.elastic
    assert np.rad2deg(moderate.rotation_rad) == pytest.approx(15.0)


def zooms(strength: Augmentation) -> list[float]:
    """Share of the ball's voxels that are left of it."""
    plan, label = plan_of(1, (), strength), ball()
    whole = float(label.sum())
    results = [augmented(plan, label.float(), label.to(torch.int16), seed)[1] for seed in range(40)]
    return [float((segmentation > 0).sum()) / whole for segmentation in results]


def test_zooms_stay_in_their_range():
    # A ball near the border may lose some of it, never gain. Light: a zoom by 1.1 on each axis.
    assert max(zooms("light")) < 1.1**3 * 1.05
    # Of the strong ones some are beyond what the light ones reach.
    assert max(zooms("strong")) > 1.1**3 * 1.05


@pytest.mark.parametrize("size", [(1, 18, 20), (2, 18, 20), (16, LARGEST_BLUR_RADIUS, 20)])
def test_patches_thinner_than_the_blur(size):
    """A blur mirrors the patch at its border, which a thin axis is too short for."""
    plan = plan_of(1, (1, 2), "strong", size)
    rng = np.random.default_rng(0)
    cut = tuple(length + 4 if length > 1 else 1 for length in size)
    image = torch.from_numpy(rng.normal(size=(1, *cut)).astype(np.float32))
    label = torch.zeros((1, *cut), dtype=torch.int16)
    # Each would be blurred with a probability of 0.15: all are spared by chance once in 10⁷.
    for seed in range(100):
        x, y = augmented(plan, image, label, seed)
        assert x.shape == y.shape == (1, *size)
        assert bool(torch.isfinite(x).all())
