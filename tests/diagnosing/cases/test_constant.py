from __future__ import annotations

from volunet.diagnosing.cases.constant import find_constant


def test_one_value_is_constant(make_study):
    (finding,) = find_constant(make_study(lambda i, x, s: (0 * i + 7, x, s)))
    assert (finding.fault, finding.certainty) == ("image-constant", "high")
    assert finding.cases == ("case_02",)
    assert "values 7 to 7" in finding.evidence


def test_so_is_what_normalisation_takes_as_flat(make_study):
    study = make_study(lambda i, x, s: (1e6 + i, x, s), at=[1, 3])
    assert find_constant(study)[0].cases == ("case_01", "case_03")


def test_little_contrast_is_contrast(make_study):
    assert find_constant(make_study(lambda i, x, s: (1e-4 * i, x, s))) == []
