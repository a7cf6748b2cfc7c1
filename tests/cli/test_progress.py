"""Progress: bars on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging

import pytest

from volunet.cli import progress
from volunet.cli.progress import show_count, show_progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test turns."""
    now = [50.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines(caplog):
    return [record.getMessage().rstrip() for record in caplog.records]


def test_log_lines_without_a_terminal(clock, caplog, capsys):
    with caplog.at_level(logging.INFO), show_progress() as show:
        for second in range(26):
            clock[0] = 50.0 + second
            show("train", second / 25, {"train_loss": 1.5, "val_dice": 0.25})
    # The first, one every ten seconds, the last.
    assert lines(caplog) == [
        "train: 0 %  train loss 1.500  val dice 0.250",
        "train: 40 %  train loss 1.500  val dice 0.250",
        "train: 80 %  train loss 1.500  val dice 0.250",
        "train: 100 %  train loss 1.500  val dice 0.250",
    ]
    assert capsys.readouterr() == ("", "")


def test_each_stage_has_lines_of_its_own(clock, caplog):
    with caplog.at_level(logging.INFO), show_progress() as show:
        show("check", 0.5, {})
        show("measure", 0.1, {})
        show("check", 0.6, {})
        show("check", 1.0, {})
        show("check", 1.0, {})
    assert lines(caplog) == ["check: 50 %", "measure: 10 %", "check: 100 %"]


def test_counts(clock, caplog):
    with caplog.at_level(logging.INFO), show_count("predict") as done:
        done(1, 3)
        done(3, 3)
    assert lines(caplog) == ["predict: 33 %", "predict: 100 %"]


def test_bars_on_a_terminal(monkeypatch, caplog, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with caplog.at_level(logging.INFO), show_progress() as show:
        show("train", 0.25, {"val_dice": 0.5})
        show("predict", 1.0, {})
    out, err = capsys.readouterr()
    assert out == ""
    for text in ("train", "25 %", "val dice 0.500", "predict", "100 %"):
        assert text in err
    assert lines(caplog) == []
