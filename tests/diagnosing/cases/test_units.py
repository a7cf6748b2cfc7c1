from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.cases.units import find_wrong_units, is_ct


def scale(low, high):
    def plant(image, label, spacing):
        share = (image - image.min()) / (image.max() - image.min())
        return (low + share * (high - low)).astype(np.float32), label, spacing

    return plant


@pytest.mark.parametrize(
    ("plant", "cause"),
    [
        (scale(0, 1), "scaled to a small range"),
        (scale(-1, 1), "scaled to a small range"),
        (scale(0, 255), "pictures of 8 bits"),
        (scale(0, 3000), "rescale intercept"),
    ],
    ids=["0…1", "−1…1", "8 bits", "offset"],
)
def test_ct_in_another_unit_than_the_others(make_study, plant, cause):
    (finding,) = find_wrong_units(make_study(plant, at=[1, 2], channel="CT"))
    assert (finding.fault, finding.certainty) == ("intensity-units", "high")
    assert finding.cases == ("case_01", "case_02")
    assert cause in finding.cause
    assert "10 other cases have values as HU have" in finding.evidence


def test_all_cases_in_0_to_1_are_sure_and_in_8_bits_likely(make_study):
    assert find_wrong_units(make_study(scale(0, 1), range(12), channel="CT"))[0].where == (
        "all 12 cases"
    )
    (finding,) = find_wrong_units(make_study(scale(0, 255), range(12), channel="CT"))
    assert finding.certainty == "medium"


def test_hu_are_right(make_study):
    assert find_wrong_units(make_study(channel="CT")) == []


def test_of_mr_the_unit_is_free(make_study):
    (left_out,) = find_wrong_units(make_study(scale(0, 1)))
    assert left_out == LeftOut("no channel is called CT, and of others the unit is free")
    assert [is_ct(name) for name in (" ct", "CT", "MRI", "ctp")] == [True, True, False, False]
