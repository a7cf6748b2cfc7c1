"""`Diagnosis`: what passed, whether it is healthy, its JSON."""

from __future__ import annotations

import json

from volunet.diagnosing.diagnosis import Consequence, Diagnosis, without_repeats
from volunet.diagnosing.finding import Finding

LOW = Finding("plateau", "the loss", "1.0", "cause", "change", "low")
MEDIUM = Finding("divergence", "the loss", "1.0", "cause", "change", "medium", ("case_1",))


def test_low_certainty_is_healthy():
    assert Diagnosis("run", "r", ()).is_healthy
    assert Diagnosis("run", "r", (LOW,)).is_healthy
    assert not Diagnosis("run", "r", (MEDIUM, LOW)).is_healthy


def test_passed_is_what_was_looked_for_and_not_seen():
    diagnosis = Diagnosis(
        "run",
        "r",
        (MEDIUM,),
        (Consequence("plateau", "the loss", "divergence"),),
        ("divergence", "plateau", "overfitting"),
    )
    assert diagnosis.passed == ("overfitting",)


def test_json():
    diagnosis = Diagnosis(
        "dataset", "scans", (MEDIUM,), (), ("divergence", "overfitting"), ("noise: no time",)
    )
    assert json.loads(json.dumps(diagnosis.to_json())) == {
        "diagnosis_version": 1,
        "kind": "dataset",
        "subject": "scans",
        "healthy": False,
        "findings": [
            {
                "fault": "divergence",
                "where": "the loss",
                "evidence": "1.0",
                "cause": "cause",
                "change": "change",
                "certainty": "medium",
                "cases": ["case_1"],
            }
        ],
        "consequences": [],
        "checked": ["divergence", "overfitting"],
        "passed": ["overfitting"],
        "left_out": ["noise: no time"],
    }


def test_without_repeats():
    assert without_repeats(["b", "a", "b"]) == ("b", "a")
