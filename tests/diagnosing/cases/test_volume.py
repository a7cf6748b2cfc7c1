from __future__ import annotations

import numpy as np
from scipy import ndimage

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.cases.volume import find_volume_outliers


def dilate(image, label, spacing):
    return image, np.where(label > 0, label, ndimage.grey_dilation(label, size=(5, 5, 5))), spacing


def erode(image, label, spacing):
    return image, label * ndimage.binary_erosion(label > 0, iterations=2), spacing


def test_a_dilated_label_is_told_once(make_study):
    (finding,) = find_volume_outliers(make_study(dilate))
    assert (finding.fault, finding.certainty) == ("label-volume-outlier", "high")
    assert finding.cases == ("case_02",)
    assert "mm³; the other cases have" in finding.evidence


def test_an_eroded_label(make_study):
    findings = find_volume_outliers(make_study(erode, at=[5]))
    assert [finding.cases for finding in findings] == [("case_05",)]
    assert findings[0].certainty == "high"


def test_a_wide_spread_is_natural(make_study):
    def lesion(image, label, spacing):
        size = int(np.random.default_rng(int(label.sum())).choice([2, 3, 5, 8]))
        few = np.zeros_like(label)
        few[4 : 4 + size, 4 : 4 + size, 4 : 4 + size] = 1
        return image, few, spacing

    (left_out,) = find_volume_outliers(make_study(lesion, at=range(12)))
    assert left_out == LeftOut("0 cases with this class, 6 are needed", "lower")


def test_healthy_cases_and_few_cases_are_quiet(make_study):
    assert find_volume_outliers(make_study()) == []
    few = make_study(dilate, at=[2], count=5)
    assert find_volume_outliers(few) == [LeftOut("5 cases to judge, 6 are needed")]


def test_a_class_that_the_scans_edge_cuts_is_a_hint(make_study):
    def cut(image, label, spacing):
        return image[:13], label[:13], spacing

    (finding,) = find_volume_outliers(make_study(cut))
    assert (finding.certainty, finding.cases) == ("low", ("case_02",))
    assert finding.where == "case case_02, upper"
    assert "It touches the edge of the scan, which may cut it." in finding.evidence
    assert "field of view" in finding.cause


def test_a_class_that_is_too_large_or_beside_a_cut_one_is_more_than_a_hint(make_study):
    def fill(image, label, spacing):
        label[:12, 4:12, :8] = 1
        return image, label, spacing

    (finding,) = find_volume_outliers(make_study(fill))
    assert (finding.certainty, finding.where) == ("high", "case case_02, upper")

    def cut_and_erode(image, label, spacing):
        eroded = ndimage.binary_erosion(label == 2)
        label = np.where(label == 1, 1, 2 * eroded).astype(np.uint8)
        return image[:12], label[:12], spacing

    (finding,) = find_volume_outliers(make_study(cut_and_erode))
    assert (finding.certainty, finding.where) == ("medium", "case case_02, lower")


def test_a_class_of_few_cases_is_left_out(make_study):
    study = make_study(lambda i, x, s: (i, x % 2, s), at=range(7))
    (left_out,) = find_volume_outliers(study)
    assert left_out == LeftOut("5 cases with this class, 6 are needed", "lower")
