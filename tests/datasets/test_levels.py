"""Levels and patches, by hand-computed numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volunet.datasets.levels import (
    MAX_HALVINGS,
    MIN_VOXELS,
    PATCH_VOXELS,
    cap_size,
    plan_levels,
    plan_patch,
)

sizes = st.tuples(*[st.integers(1, 700)] * 3)
spacings = st.tuples(*[st.floats(0.1, 10)] * 3)


@pytest.mark.parametrize(
    ("size", "spacing_mm", "strides"),
    [
        ((36, 50, 35), (1, 1, 1), [(2, 2, 2)] * 3),
        ((8, 8, 8), (1, 1, 1), [(2, 2, 2)]),
        ((7, 7, 7), (1, 1, 1), []),
        ((512, 512, 512), (1, 1, 1), [(2, 2, 2)] * 5),
        ((1, 64, 64), (1, 1, 1), [(1, 2, 2)] * 4),
        ((32, 128, 128), (5, 0.7, 0.7), [(1, 2, 2)] * 2 + [(2, 2, 2)] * 3),
        ((32, 128, 128), (2, 1, 1), [(2, 2, 2)] * 3 + [(1, 2, 2)] * 2),
    ],
    ids=["hippocampus", "8", "7", "deepest", "one-slice", "thick-slices", "ratio-2-is-equal"],
)
def test_strides(size, spacing_mm, strides):
    assert list(plan_levels(size, spacing_mm).strides) == strides


def test_kernels_stay_1_until_the_spacings_match():
    levels = plan_levels((32, 128, 128), (5, 0.7, 0.7))
    assert levels.kernels == ((1, 3, 3), (1, 3, 3), *[(3, 3, 3)] * 4)
    assert levels.total_stride == (8, 32, 32)


def test_axis_that_ran_out_of_voxels_keeps_its_kernel():
    levels = plan_levels((8, 128, 128), (1, 1, 1))
    assert levels.strides == ((2, 2, 2), *[(1, 2, 2)] * 4)
    assert set(levels.kernels) == {(3, 3, 3)}


def test_axis_that_never_matches_keeps_kernel_1():
    levels = plan_levels((4, 16, 16), (50, 1, 1))
    assert levels.kernels == ((1, 3, 3),) * 3


def test_fixed_count_halves_beyond_the_rule():
    assert plan_levels((8, 8, 8), (1, 1, 1), count=4).strides == ((2, 2, 2),) * 3
    assert plan_levels((64, 64, 64), (1, 1, 1), count=2).strides == ((2, 2, 2),)
    assert plan_levels((64, 64, 64), (1, 1, 1), count=1).strides == ()


@given(size=sizes, spacing_mm=spacings)
def test_lowest_level_keeps_its_voxels(size, spacing_mm):
    levels = plan_levels(size, spacing_mm)
    assert len(levels.kernels) == len(levels.strides) + 1 <= MAX_HALVINGS + 1
    for length, stride in zip(size, levels.total_stride, strict=True):
        assert stride == 1 or length / stride >= MIN_VOXELS


@pytest.mark.parametrize(
    ("size", "budget", "capped"),
    [
        ((10, 20, 30), 6000, (10, 20, 30)),
        ((64, 64, 64), 64**3, (64, 64, 64)),
        ((512, 512, 512), 64**3, (64, 64, 64)),
        ((512, 40, 512), 40 * 100 * 100, (100, 40, 100)),
        ((10, 20, 900), 10 * 20 * 50, (10, 20, 50)),
        ((3, 3, 3), 1, (1, 1, 1)),
    ],
    ids=["fits", "exactly", "all", "two", "one", "tiny"],
)
def test_cap_size(size, budget, capped):
    assert cap_size(size, budget) == capped


@given(size=sizes)
def test_cap_never_grows_and_holds(size):
    capped = cap_size(size)
    assert math.prod(capped) <= PATCH_VOXELS
    assert all(0 < small <= large for small, large in zip(capped, size, strict=True))


@pytest.mark.parametrize(
    ("size", "stride", "patch"),
    [
        ((36, 50, 35), (8, 8, 8), (40, 56, 40)),
        ((40, 56, 40), (8, 8, 8), (40, 56, 40)),
        ((83, 83, 83), (16, 16, 16), (64, 64, 64)),
        ((5, 5, 5), (1, 1, 1), (5, 5, 5)),
    ],
    ids=["up", "same", "budget", "no-stride"],
)
def test_patch(size, stride, patch):
    assert plan_patch(size, stride) == patch


def test_patch_keeps_one_stride():
    assert plan_patch((64, 64, 64), (32, 32, 32), budget_voxels=1000) == (32, 32, 32)


@given(size=sizes, spacing_mm=spacings)
def test_patch_is_whole_strides_within_the_budget(size, spacing_mm):
    capped = cap_size(size)
    stride = plan_levels(capped, spacing_mm).total_stride
    patch = plan_patch(capped, stride)
    assert math.prod(patch) <= PATCH_VOXELS
    for length, step, own in zip(patch, stride, size, strict=True):
        assert length % step == 0
        assert length < own + step
