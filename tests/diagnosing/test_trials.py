"""What it means that one batch is not learnt."""

from __future__ import annotations

import math

import pytest

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.probes.one_batch import OneBatch
from volunet.diagnosing.probes.probed import Probed
from volunet.diagnosing.trials import cannot_overfit_one_batch


def answer(make_record, after, finished=True):
    trial = OneBatch(60, 2.0, after, finished)
    return cannot_overfit_one_batch(make_record(probed=Probed(one_batch=trial), loss="l1"))


@pytest.mark.parametrize(
    ("after", "text"), [(1.8, "90% was left;"), (math.nan, "it was no finite number;")]
)
def test_not_learnt(make_record, after, text):
    finding = answer(make_record, after)
    assert finding.certainty == "high"
    assert f"the loss began 2 above that of a perfect answer, and after 60 steps {text}" in (
        finding.evidence
    )
    # The loss is left to volunet.
    assert "--loss" not in finding.change


def test_learnt(make_record):
    assert answer(make_record, 0.9) is None


def test_no_time(make_record):
    assert answer(make_record, 1.8, finished=False) == LeftOut(
        "60 steps fitted into the time of the probe"
    )


def test_not_tried(make_record):
    assert cannot_overfit_one_batch(make_record()) == LeftOut("the probes were not run")
