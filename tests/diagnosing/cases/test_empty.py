from __future__ import annotations

import pytest

from volunet.diagnosing.cases.empty import find_empty


def without_lower(image, label, spacing):
    return image, label % 2, spacing


def nothing(image, label, spacing):
    return image, 0 * label, spacing


def test_background_alone_where_the_image_shows_the_classes(make_study):
    (finding,) = find_empty(make_study(nothing, at=[1, 2]))
    assert (finding.fault, finding.certainty) == ("label-empty", "high")
    assert finding.cases == ("case_01", "case_02")
    assert "background alone; 10 of 12 cases have more" in finding.evidence
    assert "% of the usual volume in these images" in finding.evidence


def test_one_missing_class(make_study):
    (finding,) = find_empty(make_study(without_lower))
    assert finding.certainty == "high"
    assert "no voxel of lower" in finding.evidence


@pytest.mark.parametrize(("at", "certainty"), [([1], "medium"), ([1, 2], "low")])
def test_without_a_trusted_atlas_it_is_only_likely(make_study, monkeypatch, at, certainty):
    monkeypatch.setattr("volunet.diagnosing.cases.study.TRUSTED_DICE", 2.0)
    (finding,) = find_empty(make_study(nothing, at=at))
    assert finding.certainty == certainty
    assert "usual volume" not in finding.evidence


def test_where_many_are_empty_it_is_a_hint(make_study):
    (finding,) = find_empty(make_study(nothing, at=range(5)))
    assert finding.certainty == "low"


def test_a_class_that_half_of_the_cases_lack_is_natural(make_study):
    assert find_empty(make_study(without_lower, at=range(6))) == []


def test_a_class_that_no_case_has(make_study):
    (finding,) = find_empty(make_study(without_lower, at=range(12)))
    assert finding.where == "class lower"
    assert finding.certainty == "medium"
    assert finding.cases == ()
