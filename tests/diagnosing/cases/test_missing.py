from __future__ import annotations

import numpy as np

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.cases.missing import find_missing_classes


def without_lower(image, label, spacing):
    return image, label % 2, spacing


def taken_out(image, label, spacing):
    """Neither label nor image have the lower part."""
    return image - 260 * (label == 2), label % 2, spacing


def test_a_class_that_the_image_shows_is_likely(make_study):
    (finding,) = find_missing_classes(make_study(without_lower))
    assert (finding.fault, finding.certainty) == ("label-empty", "medium")
    assert (finding.where, finding.cases) == ("case case_02, lower", ("case_02",))
    assert "no voxel of lower; 11 of 12 cases have some" in finding.evidence
    assert "% of its usual volume in these images" in finding.evidence


def test_a_class_that_the_image_does_not_show_is_a_hint(make_study):
    (finding,) = find_missing_classes(make_study(taken_out))
    assert (finding.certainty, finding.cases) == ("low", ("case_02",))
    assert "% of its usual volume in these images" in finding.evidence


def test_both_kinds_are_told_apart(make_study):
    calls = iter(range(2))

    def one_of_each(image, label, spacing):
        return (without_lower, taken_out)[next(calls)](image, label, spacing)

    findings = find_missing_classes(make_study(one_of_each, at=[3, 7]))
    assert [(one.certainty, one.cases) for one in findings] == [
        ("medium", ("case_03",)),
        ("low", ("case_07",)),
    ]


def test_a_lesion_that_some_have_not_is_a_hint(make_study):
    """Place alone says where it may lie, and that alike in every image."""
    calls = iter(range(12))

    def lesion(image, label, spacing):
        number = next(calls)
        label = np.where(label == 1, 1, 0).astype(np.uint8)
        if number % 6:  # 10 of 12
            corner = np.random.default_rng(number).integers(4, 14, 3)
            box = tuple(slice(start, start + 3) for start in corner)
            label[box] = 2
            image[box] += 20  # about the deviation of the texture
        return image, label, spacing

    (finding,) = find_missing_classes(make_study(lesion, at=range(12)))
    assert (finding.certainty, finding.cases) == ("low", ("case_00", "case_06"))
    assert "too little to tell whether these images show it" in finding.evidence


def test_a_class_that_half_of_the_cases_lack_is_natural(make_study):
    assert find_missing_classes(make_study(without_lower, at=range(6))) == []
    assert find_missing_classes(make_study()) == []


def test_empty_labels_are_not_counted(make_study):
    study = make_study(lambda i, x, s: (i, 0 * x, s), at=range(5))
    assert find_missing_classes(study) == []


def test_few_cases(make_study):
    (finding,) = find_missing_classes(make_study(without_lower, count=5))
    assert finding.certainty == "low"
    assert "Dice" not in finding.evidence
    few = make_study(without_lower, count=3)
    assert find_missing_classes(few) == [
        LeftOut("a single class: 3 cases with a label, 4 are needed")
    ]
