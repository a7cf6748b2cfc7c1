from __future__ import annotations

from volunet.diagnosing.cases.intensity import find_intensity_outliers


def test_ct_with_an_offset(make_study):
    (finding,) = find_intensity_outliers(make_study(lambda i, x, s: (i + 500, x, s), channel="CT"))
    assert (finding.fault, finding.certainty) == ("intensity-outlier", "medium")
    assert finding.cases == ("case_02",)
    assert "Every class has a mean +49" in finding.evidence


def test_an_inverted_scan_looks_like_none(make_study):
    (finding,) = find_intensity_outliers(make_study(lambda i, x, s: (-i, x, s), at=[1, 5]))
    assert finding.cases == ("case_01", "case_05")
    assert "correlation of the scan with the mean of the others -0." in finding.evidence


def test_the_scale_of_mr_is_free(make_study):
    assert find_intensity_outliers(make_study(lambda i, x, s: (1000 * i + 500, x, s))) == []


def test_contrast_agent_is_no_fault(make_study):
    study = make_study(lambda i, x, s: (i + 100 * (x > 0), x, s), channel="CT")
    assert find_intensity_outliers(study) == []
