from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.cases.robust import median_of_known, middle_and_spread, modified_z


def test_spread_is_the_deviation_of_normal_values():
    values = np.random.default_rng(0).normal(5.0, 2.0, 20_000)
    middle, spread = middle_and_spread(values)
    assert middle == pytest.approx(5.0, abs=0.05)
    assert spread == pytest.approx(2.0, abs=0.05)


def test_outliers_do_not_hide_each_other():
    values = np.array([1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 9.0, 9.0, 9.0])
    scores = modified_z(values, 0.0)
    assert (scores[6:] > 50).all()
    assert (np.abs(scores[:6]) < 2).all()


def test_least_spread_keeps_small_differences_quiet():
    values = np.array([1.0, 1.0, 1.0, 1.0, 1.01])
    assert modified_z(values, 0.1)[-1] == pytest.approx(0.1)
    assert modified_z(values, 0.0)[-1] > 1e6


def test_nan_is_left_out_and_stays_nan():
    scores = modified_z(np.array([1.0, 2.0, 3.0, np.nan]), 0.0)
    assert np.isnan(scores[3])
    assert scores[1] == 0.0


def test_median_of_nothing_is_zero():
    assert median_of_known(np.array([np.nan])) == 0.0
    assert median_of_known(np.array([np.nan, 3.0, 5.0])) == 4.0
