"""`Check` and `take_checks`: a check is made where what it needs is there."""

from __future__ import annotations

from dataclasses import replace

from volunet.diagnosing.answers import OF_LABELS, LeftOut
from volunet.diagnosing.check import Check, take_checks
from volunet.diagnosing.finding import Finding
from volunet.diagnosing.run import CHECKS
from volunet.plan import Task, ValidationScore

FOUND = Finding("fault", "here", "evidence", "cause", "change", "high")


class Counting(Task):
    kind: str = "counting"

    @property
    def out_channels(self):
        return 1

    @property
    def score(self):
        return ValidationScore("error", "error", higher_is_better=False)


def test_checks(make_record):
    record = make_record(metrics={"val_dice": None})
    checks = [
        Check("bad", lambda _: FOUND),
        Check("good", lambda _: None, columns=("train_loss",), needs_layers=True),
        Check("blind", lambda _: LeftOut("it is dark")),
        Check("unseen", lambda _: FOUND, columns=("train_loss", "val_dice")),
    ]
    assert take_checks(checks, record) == (
        [FOUND],
        ["bad", "good"],
        ["blind: it is dark", "unseen: metrics.csv has no val_dice"],
    )


def test_layers_are_needed(make_record):
    record = make_record()
    record.layers.clear()
    check = Check("frozen", lambda _: FOUND, needs_layers=True)
    assert take_checks([check], record) == (
        [], [], ["frozen: layers.csv is not there, or empty"],
    )  # fmt: skip


def test_a_check_for_another_task_is_left_out_and_said(make_record):
    record = make_record()
    checks = [
        Check("of-labels", lambda _: FOUND, columns=("missing",), tasks=OF_LABELS),
        Check("of-all", lambda _: FOUND),
    ]
    found, checked, left_out = take_checks(checks, record)
    assert (found, checked, left_out) == (
        [FOUND], ["of-all"], ["of-labels: metrics.csv has no missing"],
    )  # fmt: skip
    plan = record.run.plan.model_copy(update={"task": Counting()})
    other = replace(record, run=replace(record.run, plan=plan))
    assert take_checks(checks, other) == (
        [FOUND],
        ["of-all"],
        ["of-labels: it is for segmentation, and the task here is counting"],
    )


def test_what_needs_classes_or_dice_is_for_segmentation():
    """The others judge the network, the optimizer and the loader, whatever the task."""
    assert {check.fault for check in CHECKS if check.tasks == OF_LABELS} == {
        "loss-does-not-fit",
        "no-foreground",
        "noisy-validation",
        "overfitting",
        "underfitting",
    }
