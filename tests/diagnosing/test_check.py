"""`Check` and `take_looks`: a look is taken where what it needs is there."""

from __future__ import annotations

from volunet.diagnosing.check import Check, take_looks
from volunet.diagnosing.finding import Finding
from volunet.diagnosing.looks import LeftOut

FOUND = Finding("fault", "here", "evidence", "cause", "change", "high")


def test_looks(make_record):
    record = make_record(metrics={"val_dice": None})
    checks = [
        Check("bad", lambda _: FOUND),
        Check("good", lambda _: None, columns=("train_loss",), needs_layers=True),
        Check("blind", lambda _: LeftOut("it is dark")),
        Check("unseen", lambda _: FOUND, columns=("train_loss", "val_dice")),
    ]
    assert take_looks(checks, record) == (
        [FOUND],
        ["bad", "good"],
        ["blind: it is dark", "unseen: metrics.csv has no val_dice"],
    )


def test_layers_are_needed(make_record):
    record = make_record()
    record.layers.clear()
    check = Check("frozen", lambda _: FOUND, needs_layers=True)
    assert take_looks([check], record) == (
        [], [], ["frozen: layers.csv is not there, or empty"],
    )  # fmt: skip
