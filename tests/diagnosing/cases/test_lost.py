from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.cases.lost import measure_losses
from volunet.volumes import Volume


def label_with(*boxes: tuple[slice, slice, slice], spacing=(1.0, 1.0, 1.0)) -> Volume:
    array = np.zeros((24, 24, 24), np.uint8)
    for box in boxes:
        array[box] = 1
    return Volume.of_array(array, spacing)


LARGE = (slice(2, 14), slice(2, 14), slice(2, 14))
SMALL = (slice(18, 20), slice(18, 20), slice(18, 20))


def test_the_same_spacing_loses_nothing():
    assert measure_losses(label_with(LARGE), 2, "RAS", (1.0, 1.0, 1.0005)) is None


def test_a_small_object_vanishes_on_a_coarse_grid():
    losses = measure_losses(label_with(LARGE, SMALL), 2, "RAS", (6.0, 6.0, 6.0))
    assert losses.objects[1] == 2
    assert losses.objects_lost[1] == 1
    assert losses.volume_kept[1] > 0.5
    alone = measure_losses(label_with(SMALL), 2, "RAS", (6.0, 6.0, 6.0))
    assert alone.volume_kept[1] == 0.0
    assert alone.objects_lost[1] == 1


def test_a_finer_grid_keeps_everything():
    assert measure_losses(label_with(LARGE, SMALL), 2, "RAS", (0.5, 0.5, 0.5)) is None


def test_a_little_coarser_keeps_most():
    losses = measure_losses(label_with(LARGE, SMALL), 2, "RAS", (1.5, 0.1, 1.0))
    assert losses.volume_kept[1] == pytest.approx(1.0, abs=0.1)
    assert losses.objects_lost[1] == 0


def test_specks_are_no_objects():
    speck = (slice(20, 21), slice(20, 21), slice(20, 22))
    losses = measure_losses(label_with(LARGE, speck), 2, "RAS", (6.0, 6.0, 6.0))
    assert losses.objects[1] == 1
    assert losses.objects_lost[1] == 0


def test_the_spacing_is_that_of_the_turned_axes():
    label = label_with(SMALL, spacing=(1.0, 1.0, 6.0))
    turned = Volume(label.array, label.affine[:, [2, 1, 0, 3]])  # k runs along x
    assert turned.spacing_mm == (6.0, 1.0, 1.0)
    assert measure_losses(turned, 2, "RAS", (1.0, 1.0, 6.0)) is None
    assert measure_losses(turned, 2, "RAS", (6.0, 1.0, 1.0)).objects_lost[1] == 1


def test_an_absent_class_is_unknown():
    losses = measure_losses(label_with(LARGE), 3, "RAS", (2.0, 2.0, 2.0))
    assert np.isnan(losses.volume_kept).tolist() == [True, False, True]
    assert losses.objects.tolist() == [0, 1, 0]
