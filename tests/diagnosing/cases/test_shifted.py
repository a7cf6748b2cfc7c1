from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.cases.shifted import find_shifted


def move(*voxels):
    return lambda image, label, spacing: (image, np.roll(label, voxels, (0, 1, 2)), spacing)


def test_some_moved_labels_are_named_with_the_way_back(make_study):
    (finding,) = find_shifted(make_study(move(0, 5, 0), at=[2, 7]))
    assert (finding.fault, finding.certainty) == ("label-shifted", "high")
    assert finding.cases == ("case_02", "case_07")
    assert "case_02 by (+0, -5, +0)" in finding.change


@pytest.mark.parametrize("voxels", [(5, 0, 0), (0, 0, 4), (-3, 5, 0)], ids=str)
def test_all_moved_alike_the_image_tells(make_study, voxels):
    (finding,) = find_shifted(make_study(move(*voxels), at=range(12)))
    assert finding.certainty == "high"
    assert finding.where == "all 12 cases"
    back = ", ".join(f"{-value:+d}" for value in voxels)
    assert f"moved by ({back})" in finding.evidence


@pytest.mark.parametrize("voxels", [(0, 0, 0), (1, 0, 0), (0, -1, 1)], ids=str)
def test_a_voxel_is_how_someone_draws(make_study, voxels):
    # Off their peaks, labels cannot be judged one by one; that is said, and no fault found.
    answers = find_shifted(make_study(move(*voxels), at=range(12)))
    assert all(isinstance(one, LeftOut) and one.part == "single cases" for one in answers)
    assert find_shifted(make_study(move(*voxels), at=[2])) == []


def test_with_few_cases_the_image_alone_makes_it_likely(make_study):
    (finding,) = find_shifted(make_study(move(0, 5, 0), at=[2], count=5))
    assert finding.certainty == "medium"
    assert finding.cases == ("case_02",)


def test_without_contrast_nothing_is_said(make_study):
    def noise(image, label, spacing):
        generator = np.random.default_rng(int(label.sum()))
        return generator.normal(size=image.shape).astype(np.float32), label, spacing

    (left_out,) = find_shifted(make_study(noise, at=range(12)))
    assert left_out.part == "single cases"
    assert left_out.reason.startswith("the contrast at the labels' border is 0.0")


def test_three_cases_are_too_few(make_study):
    (left_out,) = find_shifted(make_study(move(0, 5, 0), at=[2], count=3))
    assert left_out == LeftOut("3 cases with a border, 4 are needed")
