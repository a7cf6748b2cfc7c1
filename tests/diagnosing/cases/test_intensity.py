from __future__ import annotations

import numpy as np

from volunet.diagnosing.answers import LeftOut
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


def test_few_cases_and_labels_are_left_out(make_study):
    few = make_study(lambda i, x, s: (-i, x, s), count=5)
    assert find_intensity_outliers(few) == [LeftOut("5 cases to judge, 6 are needed")]
    empty = make_study(lambda i, x, s: (i, 0 * x, s), at=range(12), channel="CT")
    assert find_intensity_outliers(empty) == [LeftOut("no label has a class", "HU of CT")]


def test_scans_without_a_common_look_have_no_outlier(make_study):
    def noise(image, label, spacing):
        generator = np.random.default_rng(int(label.sum()))
        return generator.normal(size=image.shape).astype(np.float32), label, spacing

    (left_out,) = find_intensity_outliers(make_study(noise, at=range(12)))
    assert left_out.part == ""
    assert left_out.reason.startswith("scans correlate with the mean of the others by ")
