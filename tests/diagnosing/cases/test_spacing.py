from __future__ import annotations

import pytest

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.cases.spacing import find_spacing_outliers


def spaced(*spacing):
    return lambda image, label, _: (image, label, spacing)


def test_centimetres_are_sure(make_study):
    (finding,) = find_spacing_outliers(make_study(spaced(0.1, 0.1, 0.1)))
    assert (finding.fault, finding.certainty) == ("spacing-outlier", "high")
    assert finding.cases == ("case_02",)
    assert "0.1 × 0.1 × 0.1 mm" in finding.evidence
    assert "unit" in finding.cause


def test_one_thick_axis_is_likely(make_study):
    (finding,) = find_spacing_outliers(make_study(spaced(8.0, 1.0, 1.0)))
    assert finding.certainty == "medium"
    assert "a factor of 8, 1, 1" in finding.evidence
    # Not 1,1,1: that is the median, which is taken anyway.
    assert "--spacing-mm 2.828,1,1" in finding.change


@pytest.mark.parametrize("spacing", [(3.0, 1.0, 1.0), (1.5, 1.5, 1.5)])
def test_ordinary_differences_are_quiet(make_study, spacing):
    assert find_spacing_outliers(make_study(spaced(*spacing))) == []


def test_half_of_the_set_is_no_outlier(make_study):
    study = make_study(spaced(0.1, 0.1, 0.1), at=range(6))
    assert find_spacing_outliers(study) == []


def test_three_cases_have_no_usual_spacing(make_study):
    few = make_study(spaced(0.1, 0.1, 0.1), count=3)
    assert find_spacing_outliers(few) == [LeftOut("3 cases to judge, 4 are needed")]
