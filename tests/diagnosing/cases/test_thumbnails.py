from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.cases.thumbnails import (
    THUMBNAIL_VOXELS,
    plan_thumbnail,
    shrink_image,
    shrink_labels,
    standardise,
)


@pytest.mark.parametrize("extent", [(35.0, 50.0, 35.0), (300.0, 400.0, 400.0), (90.0, 30.0, 30.0)])
def test_grid_has_its_voxels_and_the_scans_proportions(extent):
    shape = plan_thumbnail([extent] * 3)
    assert np.prod(shape) == pytest.approx(THUMBNAIL_VOXELS, rel=0.1)
    assert np.divide(shape, extent) == pytest.approx(shape[0] / extent[0], rel=0.06)


def test_the_median_scan_counts():
    assert plan_thumbnail([(1.0, 1.0, 1.0), (2.0, 4.0, 2.0), (9.0, 900.0, 9.0)]) == (20, 40, 20)


def test_a_flat_scan_keeps_one_plane():
    depth, height, width = plan_thumbnail([(1.0, 500.0, 500.0)])
    assert depth == 1
    assert height == width <= 96


def test_shrinking_averages_with_shares():
    row = np.array([0.0, 6.0, 12.0]).reshape(1, 1, 1, 3)
    assert shrink_image(row, (1, 1, 2)).ravel() == pytest.approx([2.0, 10.0])
    assert shrink_image(row, (1, 1, 3)).ravel() == pytest.approx([0.0, 6.0, 12.0])


def test_shrinking_keeps_the_mean_and_the_channels():
    array = np.random.default_rng(0).normal(size=(2, 9, 8, 7))
    small = shrink_image(array, (3, 5, 4))
    assert small.shape == (2, 3, 5, 4)
    assert small.mean(axis=(1, 2, 3)) == pytest.approx(array.mean(axis=(1, 2, 3)), abs=1e-6)


def test_growing_repeats_voxels():
    row = np.array([1.0, 2.0]).reshape(1, 1, 1, 2)
    assert shrink_image(row, (1, 1, 4)).ravel().tolist() == [1.0, 1.0, 2.0, 2.0]


def test_labels_are_those_of_the_cells_middles():
    labels = np.array([0, 1, 1, 2, 2, 3], np.uint8).reshape(1, 1, 6)
    assert shrink_labels(labels, (1, 1, 3)).ravel().tolist() == [1, 2, 3]


def test_standardised_scans_forget_unit_and_scale():
    array = np.random.default_rng(0).normal(size=(1, 8, 8, 8)).astype(np.float32)
    one, other = standardise(array), standardise(array * 300 - 1000)
    assert one == pytest.approx(other, abs=1e-4)
    assert one.std() == pytest.approx(1.0, abs=1e-4)
    assert np.abs(one).max() < np.abs(array).max() / array.std()  # the extremes are clipped


def test_a_constant_channel_becomes_zero():
    assert not standardise(np.full((1, 3, 3, 3), 7.0, np.float32)).any()
