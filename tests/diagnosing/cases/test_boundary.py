"""The border's contrast is largest where the label fits, and finds its way back."""

from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.cases.boundary import REACH_VOXELS, measure_boundary


def measure(image: np.ndarray, label: np.ndarray):
    return measure_boundary(image[None], label > 0)


def test_a_label_that_fits_lies_on_a_peak(scan):
    image, label, _ = scan(0)
    fit = measure(image, label)
    assert fit.contrast > 0.6
    assert fit.is_peak
    assert np.abs(fit.shift).max() <= 1
    assert (fit.along_axes.argmax(axis=1) - REACH_VOXELS == 0).all()
    assert max(fit.contrast_flipped) < 0.6 * fit.contrast


@pytest.mark.parametrize("move", [(5, 0, 0), (0, -4, 0), (3, 2, -5)], ids=str)
def test_a_moved_label_is_moved_back(scan, move):
    image, label, _ = scan(0)
    fit = measure(image, np.roll(label, move, axis=(0, 1, 2)))
    assert np.abs(np.add(fit.shift, move)).max() <= 1
    assert fit.contrast_shifted > 0.6 > 2 * fit.contrast
    assert not fit.is_peak


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flipped_label_is_flipped_back(scan, axis):
    image, label, _ = scan(0)
    fit = measure(image, np.flip(label, axis))
    assert fit.contrast_flipped[axis] > 0.6
    assert fit.flip_is_peak[axis]
    assert fit.contrast < 0.6 * fit.contrast_flipped[axis]


def test_contrast_has_no_sign_and_no_unit(scan):
    image, label, _ = scan(1)
    fits = [measure(each, label).contrast for each in (image, -image, 0.01 * image + 7)]
    assert fits == pytest.approx([fits[0]] * 3, abs=0.01)


def test_like_rims_have_no_contrast(scan):
    _, label, _ = scan(0)
    noise = np.random.default_rng(0).normal(size=label.shape)
    assert measure(noise, label).contrast < 0.02
    assert measure(np.zeros(label.shape), label).contrast < 0.005


def test_rims_that_share_no_value_differ_by_one_bit():
    label = np.zeros((20, 20, 20), np.uint8)
    label[5:15, 5:15, 5:15] = 1
    assert measure(label.astype(float), label).contrast == pytest.approx(1.0, abs=0.02)


def test_channels_are_averaged(scan):
    image, label, _ = scan(0)
    both = measure_boundary(np.stack([image, np.zeros_like(image)]), label > 0)
    assert both.contrast == pytest.approx(0.5 * measure(image, label).contrast, abs=0.005)


def test_half_of_a_rim_must_stay_in_the_scan():
    label = np.zeros((30, 20, 20), np.uint8)
    label[1:5, 5:15, 5:15] = 1
    fit = measure(label.astype(float), label)
    assert fit.along_axes[0, 0] == 0.0  # by 8 voxels most of the rims would be outside
    assert fit.shift == (0, 0, 0)


def test_a_large_label_is_measured_by_a_slab(monkeypatch, scan):
    monkeypatch.setattr("volunet.diagnosing.cases.boundary._SLAB_VOXELS", 600)
    image, label, _ = scan(0)
    fit = measure(image, label)
    assert fit.contrast > 0.6
    assert fit.is_peak


@pytest.mark.parametrize("value", [0, 1])
def test_without_a_border_there_is_no_fit(value):
    label = np.full((9, 9, 9), value, np.uint8)
    assert measure(np.zeros(label.shape), label) is None
