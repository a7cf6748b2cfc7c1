from __future__ import annotations

import numpy as np

from volunet.diagnosing.cases.boundaries import Boundaries
from volunet.diagnosing.cases.boundary import measure_boundary


def fit(image: np.ndarray, label: np.ndarray):
    return measure_boundary(image[None], label > 0)


def test_stacked_fits_keep_their_places(scan):
    image, label, _ = scan(0)
    stacked = Boundaries.of_fits([None, fit(image, label)])
    assert np.isnan(stacked.contrast).tolist() == [True, False]
    assert stacked.is_peak.tolist() == [False, True]
    assert stacked.shift.shape == stacked.contrast_flipped.shape == (2, 3)


def test_sharp_borders_are_trusted_though_some_labels_are_off(scan):
    scans = [scan(seed) for seed in range(6)]
    fits = [fit(image, label) for image, label, _ in scans]
    fits[:2] = [fit(image, np.roll(label, 6, 1)) for image, label, _ in scans[:2]]
    assert Boundaries.of_fits(fits).are_trusted


def test_noise_is_not_trusted(scan):
    scans = [scan(seed) for seed in range(6)]
    rng = np.random.default_rng(0)
    fits = [fit(rng.normal(size=label.shape), label) for _, label, _ in scans]
    assert not Boundaries.of_fits(fits).are_trusted


def test_without_borders_there_is_nothing_to_trust():
    nothing = Boundaries.of_fits([None, None])
    assert nothing.usual == 0.0
    assert not nothing.are_trusted
