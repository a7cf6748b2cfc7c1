from __future__ import annotations

import numpy as np

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.cases.place import find_place_outliers


def elsewhere(*voxels):
    return lambda image, label, spacing: (image, np.roll(label, voxels, (0, 1, 2)), spacing)


def test_a_label_at_another_place(make_study):
    (finding,) = find_place_outliers(make_study(elsewhere(0, 9, 0)))
    assert (finding.fault, finding.certainty) == ("label-place-outlier", "medium")
    assert finding.cases == ("case_02",)
    assert "of the scan along H (back to front)" in finding.evidence


def test_a_scan_that_was_cropped_otherwise_is_a_hint(make_study):
    def move(image, label, spacing):
        return np.roll(image, 9, 1), np.roll(label, 9, 1), spacing

    (finding,) = find_place_outliers(make_study(move))
    assert finding.certainty == "low"
    assert "lies well on its image" in finding.cause


def test_a_little_off_is_a_hint_and_less_is_nothing(make_study):
    (finding,) = find_place_outliers(make_study(elsewhere(0, 0, 4)))
    assert finding.certainty == "low"
    assert find_place_outliers(make_study(elsewhere(0, 1, 0))) == []


def test_no_common_place_no_outlier(make_study):
    def anywhere(image, label, spacing):
        voxels = np.random.default_rng(int(label.sum())).integers(0, 20, 3)
        return elsewhere(*voxels)(image, label, spacing)

    assert find_place_outliers(make_study(anywhere, at=range(12))) == []


def test_few_cases_are_quiet(make_study):
    few = make_study(elsewhere(0, 9, 0), at=[2], count=9)
    assert find_place_outliers(few) == [LeftOut("9 cases to judge, 10 are needed")]


def test_a_class_of_few_cases_is_left_out(make_study):
    study = make_study(lambda i, x, s: (i, x % 2, s), at=range(5))
    few = LeftOut("7 cases with this class, 10 are needed", "lower")
    assert find_place_outliers(study) == [few]
