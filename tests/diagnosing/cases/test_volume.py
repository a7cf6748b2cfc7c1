from __future__ import annotations

import numpy as np
from scipy import ndimage

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

    assert find_volume_outliers(make_study(lesion, at=range(12))) == []


def test_healthy_cases_and_few_cases_are_quiet(make_study):
    assert find_volume_outliers(make_study()) == []
    assert find_volume_outliers(make_study(dilate, at=[2], count=5)) == []
