"""Ctrl-C ends a fit once gently, twice at once; progress is told and drawn."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest
from pytorch_lightning.loggers import CSVLogger

from volunet.training.budget import Budget
from volunet.training.callbacks import ShowProgress, StopOnInterrupt
from volunet.training.config import TrainingConfig


def test_first_interrupt_ends_gently_and_second_at_once(caplog):
    before = signal.getsignal(signal.SIGINT)
    trainer = SimpleNamespace(should_stop=False)
    with StopOnInterrupt() as stop:
        interrupt = signal.getsignal(signal.SIGINT)
        interrupt(signal.SIGINT, None)
        assert (trainer.should_stop, stop.interrupted) == (False, True)
        stop.on_train_batch_end(trainer, None, None, None, 0)
        assert trainer.should_stop is True
        assert "ending after this batch; once more to end at once" in caplog.text
        with pytest.raises(KeyboardInterrupt):
            interrupt(signal.SIGINT, None)
    assert signal.getsignal(signal.SIGINT) is before


def test_sigint_is_given_back():
    before = signal.getsignal(signal.SIGINT)
    with StopOnInterrupt() as stop:
        assert signal.getsignal(signal.SIGINT) is not before
        stop.on_train_batch_end(SimpleNamespace(), None, None, None, 0)
    assert signal.getsignal(signal.SIGINT) is before
    assert stop.interrupted is False


def test_progress_is_told_and_drawn(tmp_path):
    told = []
    logger = CSVLogger(tmp_path, name="", version="")
    trainer = SimpleNamespace(
        global_step=3, num_training_batches=4, callback_metrics={"val_dice": 0.5}, loggers=[logger]
    )
    budget = Budget(TrainingConfig(epochs=1))
    show = ShowProgress(tmp_path, budget, lambda done, figures: told.append((done, figures)))
    show.on_train_batch_end(trainer, None, None, None, 2)
    assert told == [(0.75, {"val_dice": 0.5})]
    logger.log_metrics({"train_loss": 1.5}, step=2)
    show.on_train_epoch_end(trainer, None)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert (tmp_path / "metrics.csv").read_text().split() == ["step,train_loss", "2,1.5"]


def test_progress_without_anyone_to_tell(tmp_path):
    trainer = SimpleNamespace(loggers=[], callback_metrics={})
    show = ShowProgress(tmp_path, Budget(TrainingConfig(epochs=1)), None)
    show.on_validation_end(trainer, None)
    show.on_fit_end(trainer, None)
    assert list(tmp_path.iterdir()) == []
