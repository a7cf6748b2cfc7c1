from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.cases.atlas import best_order, fit_atlas


def test_healthy_labels_fit_what_the_others_say(make_study):
    fits = fit_atlas(make_study().cases)
    assert min(fit.dice for fit in fits) > 0.75
    for fit in fits:
        assert best_order(fit.overlaps).tolist() == [1, 2]
        assert fit.dice_reordered == fit.dice
        assert max(fit.dice_flipped) < fit.dice - 0.2
        assert fit.overlaps.diagonal().mean() == pytest.approx(fit.dice)
        assert fit.expected.sum() == pytest.approx(1.0, abs=1e-4)


def test_a_case_does_not_vouch_for_itself(make_study):
    def elsewhere(image, label, spacing):
        return image, np.roll(label, 12, axis=1), spacing

    assert fit_atlas(make_study(elsewhere, at=[4]).cases)[4].dice < 0.2


def test_faults_are_undone_by_the_right_change(make_study):
    def swap(image, label, spacing):
        return image, np.choose(label, [0, 2, 1]).astype(np.uint8), spacing

    def flip(image, label, spacing):
        return image, np.flip(label, 0).copy(), spacing

    def move(image, label, spacing):
        return image, np.roll(label, 5, axis=2), spacing

    swapped = fit_atlas(make_study(swap).cases)[2]
    order = best_order(swapped.overlaps)
    assert order.tolist() == [2, 1]
    assert swapped.dice_in(order) == swapped.dice_reordered
    assert swapped.dice_reordered > 0.75 > 3 * swapped.dice
    flipped = fit_atlas(make_study(flip).cases)[2]
    assert flipped.dice_flipped[0] > 0.75 > 1.3 * flipped.dice
    moved = fit_atlas(make_study(move).cases)[2]
    assert moved.dice_shifted > 0.7 > 1.5 * moved.dice


def test_a_missing_class_does_not_count(make_study):
    fits = fit_atlas(make_study(lambda i, x, s: (i, x % 2, s)).cases)
    assert np.isnan(fits[2].overlaps[1]).all()
    assert best_order(fits[2].overlaps).tolist() == [1, 2]
    assert fits[2].dice == fits[2].overlaps[0, 0] > 0.7


def test_an_empty_label_has_no_dice(make_study):
    fit = fit_atlas(make_study(lambda i, x, s: (i, 0 * x, s)).cases)[2]
    assert (fit.dice, fit.dice_reordered) == (0.0, 0.0)
    assert fit.expected[1:].sum() > 0.02  # what the image shows all the same


def test_only_some_classes_may_change_places():
    overlaps = np.array([[0.1, 0.2, 0.9], [0.8, 0.1, 0.1], [0.1, 0.7, 0.1]])
    assert best_order(overlaps).tolist() == [3, 1, 2]
    assert best_order(overlaps, np.array([True, True, False])).tolist() == [2, 1, 3]
    overlaps[1] = np.nan  # a class that the label has not; its name is free for another
    assert best_order(overlaps, np.array([True, True, False])).tolist() == [2, 2, 3]
