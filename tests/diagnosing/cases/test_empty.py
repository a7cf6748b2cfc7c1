from __future__ import annotations

import pytest

from volunet.diagnosing.cases.empty import find_empty


def without_lower(image, label, spacing):
    return image, label % 2, spacing


def nothing(image, label, spacing):
    return image, 0 * label, spacing


def taken_out(image, label, spacing):
    """Neither label nor image have the organ."""
    return image - 180 * (label == 1) - 260 * (label == 2), 0 * label, spacing


def test_background_alone_where_the_image_shows_the_classes(make_study):
    (finding,) = find_empty(make_study(nothing, at=[1, 2]))
    assert (finding.fault, finding.certainty) == ("label-empty", "high")
    assert finding.cases == ("case_01", "case_02")
    assert "background alone; 10 of 12 cases have more" in finding.evidence
    assert "% of the usual volume in these images" in finding.evidence


def test_an_image_without_the_classes_is_a_hint(make_study):
    (finding,) = find_empty(make_study(taken_out, at=[1]))
    assert (finding.certainty, finding.cases) == ("low", ("case_01",))
    assert "% of the usual volume in these images" in finding.evidence


@pytest.mark.parametrize(("at", "certainty"), [([1], "medium"), ([1, 2], "low")])
def test_where_no_class_is_well_known_it_is_only_likely(make_study, monkeypatch, at, certainty):
    monkeypatch.setattr("volunet.diagnosing.cases.presence.KNOWN_DICE", 2.0)
    (finding,) = find_empty(make_study(nothing, at=at))
    assert finding.certainty == certainty
    assert "usual volume" not in finding.evidence


def test_where_many_are_empty_it_is_a_hint(make_study):
    (finding,) = find_empty(make_study(nothing, at=range(5)))
    assert finding.certainty == "low"


def test_a_class_that_is_missing_in_some_is_not_its_business(make_study):
    assert find_empty(make_study(without_lower, at=[2])) == []


def test_a_class_that_no_case_has(make_study):
    (finding,) = find_empty(make_study(without_lower, at=range(12)))
    assert finding.where == "class lower"
    assert finding.certainty == "medium"
    assert finding.cases == ()
