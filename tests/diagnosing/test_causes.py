"""`explain`: causes are told, the surest first, and what follows from them is not."""

from __future__ import annotations

import pytest

from volunet.diagnosing.causes import CONSEQUENCES, explain
from volunet.diagnosing.diagnosis import Consequence
from volunet.diagnosing.finding import Finding
from volunet.diagnosing.run import CHECKS


def finding(fault, certainty="medium"):
    return Finding(fault, "here", "evidence", "cause", "change", certainty)


def test_every_fault_has_a_place():
    """Names in the table are those of checks; a fault that causes none is the last of its kind."""
    faults = {check.fault for check in CHECKS}
    named = set(CONSEQUENCES).union(*CONSEQUENCES.values())
    assert named <= faults
    assert faults - set(CONSEQUENCES) == {"plateau", "no-validation", "noisy-validation"}


def test_no_fault_explains_one_that_explains_it():
    for cause, explained in CONSEQUENCES.items():
        for fault in explained:
            assert cause not in CONSEQUENCES.get(fault, ()), (cause, fault)


def test_a_cause_explains():
    told, explained = explain(
        [finding("plateau"), finding("divergence", "high"), finding("learning-rate-too-high")]
    )
    assert [one.fault for one in told] == ["learning-rate-too-high"]
    assert set(explained) == {
        Consequence("divergence", "here", "learning-rate-too-high"),
        Consequence("plateau", "here", "learning-rate-too-high"),
    }


def test_a_hint_explains_nothing():
    told, explained = explain([finding("learning-rate-too-high", "low"), finding("divergence")])
    assert [one.fault for one in told] == ["divergence", "learning-rate-too-high"]
    assert explained == ()


def test_what_is_explained_explains_nothing():
    # Stopped too early explains a plateau, but is itself explained by starved loading.
    told, explained = explain(
        [finding("plateau"), finding("stopped-too-early"), finding("loading-starved")]
    )
    assert [one.fault for one in told] == ["loading-starved", "plateau"]
    assert [one.fault for one in explained] == ["stopped-too-early"]


@pytest.mark.parametrize("first", ["medium", "high"])
def test_the_surest_first_then_causes_first(first):
    told, _ = explain(
        [finding("overfitting", first), finding("batch-too-large"), finding("no-foreground")]
    )
    expected = ["no-foreground", "batch-too-large"]
    # No foreground explains overfitting and a large batch.
    assert [one.fault for one in told] == expected[:1]
    told, _ = explain([finding("loading-starved"), finding("overfitting", first)])
    assert [one.fault for one in told] == (
        ["overfitting", "loading-starved"]
        if first == "high"
        else ["loading-starved", "overfitting"]
    )
