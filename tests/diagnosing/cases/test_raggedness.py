from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.cases.raggedness import measure_raggedness


def ball(radius: float = 6.0) -> np.ndarray:
    return (((np.indices((17, 17, 17)) - 8) ** 2).sum(axis=0) < radius**2).astype(np.uint8)


def test_a_ball_and_a_box_are_smooth():
    box = np.zeros((8, 8, 8), np.uint8)
    box[1:7, 1:7, 1:7] = 1
    assert measure_raggedness(box, 2)[1] == 0.0
    assert measure_raggedness(ball(), 2)[1] < 0.01


def test_specks_and_pits_are_counted_once_each():
    label = np.zeros((12, 12, 12), np.uint8)
    label[1:9, 1:9, 1:9] = 1
    label[4, 4, 4] = 0
    label[9, 9, 9] = 1  # touches the box by a corner
    assert measure_raggedness(label, 2)[1] == pytest.approx(2 / np.count_nonzero(label))


def test_noise_at_the_border_shows():
    label, rng = ball(), np.random.default_rng(0)
    border = (ball(7.0) > 0) & (ball(5.0) == 0)
    noisy = np.where(border & (rng.random(label.shape) < 0.15), 1 - label, label)
    assert measure_raggedness(noisy.astype(np.uint8), 2)[1] > 0.04


def test_small_parts_are_left_out():
    label = ball()
    label[0, 0, :2] = 1
    assert measure_raggedness(label, 2)[1] == measure_raggedness(ball(), 2)[1]
    assert np.isnan(measure_raggedness(ball(2.0), 2)[1])


def test_edges_of_the_scan_are_no_neighbours():
    label = np.zeros((4, 20, 20), np.uint8)
    label[0], label[-1] = 1, 1
    assert measure_raggedness(label, 2)[1] == 0.0


def test_absent_classes_are_unknown():
    assert np.isnan(measure_raggedness(ball(), 3)).tolist() == [True, False, True]
