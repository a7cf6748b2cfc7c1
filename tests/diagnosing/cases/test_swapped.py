from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.cases.atlas import AtlasFit
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
    few = make_study(swap, at=[1], count=5)
    assert find_swapped(few) == [LeftOut("5 cases to judge, 6 are needed")]


def with_fits(study, usual, odd):
    """The study of 6 cases whose overlaps are the usual ones, but for the last case."""
    fits = [
        AtlasFit(np.array(each), 0.5, (0.0, 0.0, 0.0), 0.5, 0.5, np.full(3, 1 / 3))
        for each in [usual] * 5 + [odd]
    ]
    study.__dict__["atlas"] = fits
    return study


def test_a_class_that_the_other_cases_do_not_know_is_not_judged(make_study):
    usual = [[0.8, 0.1], [0.1, 0.05]]
    study = with_fits(make_study(count=6), usual, [[0.1, 0.6], [0.6, 0.0]])
    (left_out,) = find_swapped(study)
    assert left_out == LeftOut(
        "the classes have a Dice of 0.80, 0.05 with what the other cases say; 2 classes with 0.2 "
        "are needed"
    )


def test_cases_without_a_class_do_not_make_it_unknown(make_study):
    # Half of the cases have no lower: counted as 0, its usual Dice would be next to nothing.
    study = with_fits(make_study(count=6), [[0.8, 0.1], [0.1, 0.6]], [[0.1, 0.6], [0.7, 0.1]])
    for fit in study.atlas[:4]:
        fit.overlaps[1] = np.nan
    assert study.class_dice.tolist() == [0.8, 0.35]
    (finding,) = find_swapped(study)
    assert (finding.certainty, finding.cases) == ("high", ("case_05",))


@pytest.mark.parametrize(("gained", "count"), [(0.08, 0), (0.12, 1)])
def test_of_a_low_dice_a_large_share_is_little(make_study, gained, count):
    own, other = 0.15, 0.15 + gained
    odd = [[own, other], [other, own]]
    findings = find_swapped(with_fits(make_study(count=6), [[0.24, 0.1], [0.1, 0.24]], odd))
    assert len(findings) == count
