from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from volunet.diagnosing.cases.lost import DEBRIS_VOXELS, measure_losses
from volunet.volumes import Volume, conform_labels


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


def plain_objects(classes, small, index):
    """Objects of a class and those lost, on the whole volume at once."""
    parts, _ = ndimage.label(classes == index, np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    widened = np.where(classes == index, parts, ndimage.maximum_filter(parts, 3))
    places = tuple(
        np.minimum(((found + 0.5) * size / own).astype(int), size - 1)
        for found, size, own in zip(
            np.nonzero(small == index), classes.shape, small.shape, strict=True
        )
    )
    survived = np.zeros(len(sizes), bool)
    survived[widened[places]] = True
    large = sizes >= DEBRIS_VOXELS
    return int(large.sum()), int((large & ~survived).sum())


@pytest.mark.parametrize("spacing", [(3.0, 3.0, 3.0), (2.5, 1.0, 3.7)], ids=str)
def test_boxes_and_the_whole_volume_say_the_same(spacing, monkeypatch):
    monkeypatch.setattr("volunet.diagnosing.cases.planes.PIECE_VOXELS", 200)
    rng = np.random.default_rng(0)
    values = ndimage.gaussian_filter(rng.normal(size=(40, 36, 44)), 1.2)
    classes = np.digitize(values / values.std(), [1.0, 1.8]).astype(np.uint8)
    label = Volume.of_array(classes, (1.0, 1.0, 1.0))
    losses = measure_losses(label, 4, "RAS", spacing)
    small = conform_labels(label, "RAS", spacing).array[0]
    for index in (1, 2):
        found = (losses.objects[index], losses.objects_lost[index])
        assert found == plain_objects(classes, small, index)
    assert losses.objects.sum() > losses.objects_lost.sum() > 0
    before, after = (np.bincount(each.ravel(), minlength=4) for each in (classes, small))
    assert losses.volume_kept[1:3] == pytest.approx(after[1:3] / before[1:3] * np.prod(spacing))


def test_a_voxel_stands_for_a_part_that_its_middle_just_misses():
    array = np.zeros((40, 40, 40), np.uint8)
    array[36:38, 36:38, 36:38] = 1
    # 13 voxels of 3 mm span 39 of 40: the middle of the last, at 37.5, is taken for 38.46.
    losses = measure_losses(Volume.of_array(array, (1.0, 1.0, 1.0)), 2, "RAS", (3.0, 3.0, 3.0))
    assert losses.volume_kept[1] > 0
    assert (losses.objects[1], losses.objects_lost[1]) == (1, 0)
