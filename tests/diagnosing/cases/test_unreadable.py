from __future__ import annotations

import numpy as np

from volunet.diagnosing.cases.unreadable import find_unreadable


def spoil(image, label, spacing):
    image[3, 3, 3] = np.nan
    return image, label, spacing


def test_a_case_with_nan_is_named(make_study):
    (finding,) = find_unreadable(make_study(spoil))
    assert (finding.fault, finding.certainty) == ("unreadable-case", "high")
    assert finding.cases == ("case_02",)
    assert "case_02.nii: 1 voxels are NaN" in finding.evidence
    assert "--skip-bad" in finding.change


def test_undeclared_labels_and_other_problems_are_told_together(make_study):
    def mark(image, label, spacing):
        label[0, 0, 0] = 9
        return spoil(image, label, spacing)

    (finding,) = find_unreadable(make_study(mark, at=range(4)))
    assert finding.where == "4 of 12 cases: case_00, case_01, case_02, case_03"
    assert "the undeclared values 9" in finding.evidence
    assert "3 more problems" in finding.evidence


def test_whole_cases_are_no_finding(make_study):
    assert find_unreadable(make_study(count=2)) == []
