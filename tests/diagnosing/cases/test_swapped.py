from __future__ import annotations

import numpy as np

from volunet.diagnosing.cases.swapped import find_swapped


def swap(image, label, spacing):
    return image, np.choose(label, [0, 2, 1]).astype(np.uint8), spacing


def test_the_minority_is_named(make_study):
    (finding,) = find_swapped(make_study(swap, at=[1, 4, 9]))
    assert (finding.fault, finding.certainty) == ("classes-swapped", "high")
    assert finding.cases == ("case_01", "case_04", "case_09")
    assert "upper → lower, lower → upper" in finding.change


def test_one_class_under_another_name(make_study):
    def rename(image, label, spacing):
        return image, np.choose(label, [0, 0, 1]).astype(np.uint8), spacing

    (finding,) = find_swapped(make_study(rename))
    assert finding.cases == ("case_02",)
    assert "upper → lower," in finding.change


def test_swapped_in_all_cases_nothing_tells(make_study):
    assert find_swapped(make_study(swap, at=range(12))) == []


def test_healthy_cases_and_few_cases_are_quiet(make_study):
    assert find_swapped(make_study()) == []
    assert find_swapped(make_study(swap, at=[1], count=5)) == []
