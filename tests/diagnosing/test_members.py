"""Members of a bagging run: equal faults are one finding, that of the member where it is surest."""

from __future__ import annotations

from volunet.diagnosing.diagnosis import Consequence
from volunet.diagnosing.finding import Finding
from volunet.diagnosing.members import merge_consequences, merge_findings, merge_left_out


def finding(fault, certainty="medium", evidence="so much", cases=()):
    return Finding(fault, "here", evidence, "cause", "change", certainty, cases)


def test_a_run_with_one_network_stays():
    found = [finding("plateau"), finding("divergence")]
    assert merge_findings({"": found}) == found
    assert merge_left_out({"": ["plateau: 3 rows"]}) == ["plateau: 3 rows"]
    explained = [Consequence("plateau", "here", "divergence")]
    assert merge_consequences({"": explained}) == explained


def test_what_was_measured_once_is_told_once():
    """A probe's finding is the same for every member."""
    found = {f"fold_{number}": [finding("cannot-overfit-one-batch")] for number in range(1, 6)}
    (merged,) = merge_findings(found)
    assert merged.where == "fold_1, fold_2, fold_3, fold_4, fold_5: here"
    assert merged.evidence == "so much"


def test_the_surest_speaks_for_all():
    (merged,) = merge_findings(
        {
            "fold_1": [finding("divergence", "medium", "a bit", ("a", "b"))],
            "fold_2": [],
            "fold_3": [finding("divergence", "high", "much", ("b", "c"))],
        }
    )
    assert (merged.certainty, merged.where) == ("high", "fold_1, fold_3: here")
    assert merged.evidence == "in 2 of 3 folds; in fold_3: much"
    assert merged.cases == ("a", "b", "c")


def test_faults_stay_apart():
    merged = merge_findings({"fold_1": [finding("plateau")], "fold_2": [finding("divergence")]})
    assert [(one.fault, one.where) for one in merged] == [
        ("plateau", "fold_1: here"),
        ("divergence", "fold_2: here"),
    ]


def test_consequences_and_what_was_left_out():
    found = {
        "fold_1": [Consequence("plateau", "the loss", "divergence")],
        "fold_2": [
            Consequence("plateau", "the loss", "divergence"),
            Consequence("plateau", "the loss", "overfitting"),
        ],
    }
    assert merge_consequences(found) == [
        Consequence("plateau", "fold_1, fold_2: the loss", "divergence"),
        Consequence("plateau", "fold_2: the loss", "overfitting"),
    ]
    left_out = {
        "fold_1": ["plateau: 3 rows"],
        "fold_2": ["plateau: 3 rows"],
        "fold_3": ["not begun"],
    }
    assert merge_left_out(left_out) == ["fold_1, fold_2: plateau: 3 rows", "fold_3: not begun"]
