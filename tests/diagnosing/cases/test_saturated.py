from __future__ import annotations

import numpy as np

from volunet.diagnosing.cases.saturated import find_saturated


def clip_top(image, label, spacing):
    return np.minimum(image, np.percentile(image, 90)), label, spacing


def clip_bottom(image, label, spacing):
    return np.maximum(image, np.percentile(image, 30)), label, spacing


def test_a_clipped_top_is_sure(make_study):
    (finding,) = find_saturated(make_study(clip_top, at=[3, 4]))
    assert (finding.fault, finding.certainty) == ("intensity-saturated", "high")
    assert finding.cases == ("case_03", "case_04")
    assert "10.0% to 10.0% of the voxels have the scan's largest value" in finding.evidence


def test_all_clipped_may_be_on_purpose(make_study):
    (finding,) = find_saturated(make_study(clip_top, at=range(12)))
    assert finding.certainty == "medium"


def test_a_flat_bottom_is_a_hint_and_of_all_cases_nothing(make_study):
    (finding,) = find_saturated(make_study(clip_bottom, at=[3]))
    assert finding.certainty == "low"
    assert find_saturated(make_study(clip_bottom, at=range(12))) == []


def test_whole_ranges_are_quiet(make_study):
    assert find_saturated(make_study()) == []
