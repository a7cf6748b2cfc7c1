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
    found = Boundaries.of_fits(fits)
    assert (found.count, found.distrust) == (6, "")


def test_noise_is_not_trusted(scan):
    scans = [scan(seed) for seed in range(6)]
    rng = np.random.default_rng(0)
    fits = [fit(rng.normal(size=label.shape), label) for _, label, _ in scans]
    assert "bit (median), 0.05 is needed" in Boundaries.of_fits(fits).distrust


def test_without_borders_there_is_nothing_to_trust():
    nothing = Boundaries.of_fits([None, None])
    assert nothing.usual == 0.0
    assert nothing.count == 0
    assert nothing.distrust == (
        "the contrast at the labels' border is 0.000 bit (median), 0.05 is needed"
    )


def test_labels_off_their_peaks_are_not_trusted(scan):
    scans = [scan(seed) for seed in range(4)]
    fits = [fit(image, np.roll(label, 2, 1)) for image, label, _ in scans]
    distrust = Boundaries.of_fits(fits).distrust
    assert distrust == "0% of the labels lie on a peak of contrast, 85% must"
