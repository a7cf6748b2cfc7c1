from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.cases.flipped import find_flipped


def flip(axis):
    return lambda image, label, spacing: (image, np.flip(label, axis).copy(), spacing)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_some_flipped_labels_are_named_with_their_axis(make_study, axis):
    (finding,) = find_flipped(make_study(flip(axis), at=[2, 7]))
    assert (finding.fault, finding.certainty) == ("label-flipped", "high")
    assert finding.cases == ("case_02", "case_07")
    assert f"along {'DHW'[axis]} (" in finding.change
    assert "bit flipped along" in finding.evidence
    assert "Dice with what the other cases say" in finding.evidence


def test_flips_along_two_axes_are_told_apart(make_study):
    def by_place(image, label, spacing):
        # The flipped cases' own numbers are not known here: the larger label goes along D.
        return flip(0 if (label > 0).sum() > 560 else 1)(image, label, spacing)

    findings = find_flipped(make_study(by_place, at=[0, 1, 2, 3]))
    assert sorted(name for finding in findings for name in finding.cases) == [
        "case_00",
        "case_01",
        "case_02",
        "case_03",
    ]
    assert len(findings) == 2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_all_flipped_alike_the_image_tells(make_study, axis):
    (finding,) = find_flipped(make_study(flip(axis), at=range(12)))
    assert finding.certainty == "high"
    assert finding.where == "all 12 cases"
    assert f"along {'DHW'[axis]} (" in finding.change


def test_without_contrast_the_other_cases_alone_make_it_likely(make_study):
    def blur(image, label, spacing):
        noise = np.random.default_rng(int(label.sum())).normal(size=image.shape)
        return noise.astype(np.float32), label, spacing

    calls = iter(range(12))

    def plant(image, label, spacing):
        image, label, spacing = blur(image, label, spacing)
        return flip(0)(image, label, spacing) if next(calls) == 2 else (image, label, spacing)

    finding, left_out = find_flipped(make_study(plant, at=range(12)))
    assert finding.certainty == "medium"
    assert finding.cases == ("case_02",)
    assert left_out.part == "by the image"
    assert "bit (median), 0.05 is needed" in left_out.reason


def test_healthy_and_moved_labels_are_not_flipped(make_study):
    assert find_flipped(make_study()) == []
    move = make_study(lambda i, x, s: (i, np.roll(x, 5, axis=1), s))
    assert find_flipped(move) == []


def test_of_few_cases_the_image_alone_tells(make_study):
    finding, left_out = find_flipped(make_study(flip(0), at=[2], count=5))
    assert (finding.certainty, finding.cases) == ("medium", ("case_02",))
    assert left_out == LeftOut("5 cases to judge, 6 are needed", "by the other cases")


def test_without_borders_and_others_it_is_left_out(make_study):
    (left_out,) = find_flipped(make_study(lambda i, x, s: (i, 0 * x, s), at=range(3), count=3))
    assert left_out == LeftOut(
        "all flipped alike: 0 cases with a border, 4 are needed; by the image: the contrast at the "
        "labels' border is 0.000 bit (median), 0.05 is needed; by the other cases: 3 cases to "
        "judge, 6 are needed"
    )
