"""Ctrl-C ends a fit once gently, twice at once; validations come in time; progress is told."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger

from volunet.tasks.segmentation.plan import DICE
from volunet.training.config import TrainingConfig
from volunet.training.fitting.budget import Budget
from volunet.training.fitting.callbacks import (
    NEVER,
    EndWithPatience,
    FadeAugmentation,
    ShowProgress,
    StopOnInterrupt,
    ValidateInTime,
)


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


def test_validations_come_in_time():
    now = [100.0]
    callback = ValidateInTime(5.0, clock=lambda: now[0])
    trainer = SimpleNamespace(val_check_batch=NEVER)
    now[0] = 200.0  # reading, before the fit
    callback.on_train_start(trainer, None)
    validated = []
    for batch in range(14):
        now[0] += 2.0
        callback.on_train_batch_end(trainer, None, None, None, batch)
        # Lightning validates at multiples of this number of batches.
        if (batch + 1) % trainer.val_check_batch == 0:
            now[0] += 30.0
            callback.on_validation_end(trainer, None)
            validated.append(batch)
    # 5 s and up to a batch behind the end of the one before.
    assert validated == [2, 5, 8, 11]


@pytest.mark.parametrize(("waited", "wait_count"), [(0, 0), (2, 2), (3, 0), (5, 0)])
def test_patience_begins_anew_where_it_had_ended_a_fit(caplog, waited, wait_count):
    before = EndWithPatience(3, DICE)
    before.wait_count = waited
    before.best_score = torch.tensor(0.75)
    again = EndWithPatience(3, DICE)
    again.load_state_dict(before.state_dict())
    assert (again.wait_count, float(again.best_score)) == (wait_count, 0.75)
    said = ["The fit had ended as its patience was over; it has all of it again."]
    assert caplog.messages == (said if waited >= 3 else [])


def test_augmentation_fades():
    shares = []
    budget = Budget(TrainingConfig(epochs=1))
    fade = FadeAugmentation(budget, SimpleNamespace(set_augmented_share=shares.append))
    for step in (0, 70, 80, 85, 95):
        trainer = SimpleNamespace(global_step=step, num_training_batches=100)
        fade.on_train_batch_start(trainer, None, None, step)
    assert shares == pytest.approx([1.0, 1.0, 1.0, 0.75, 0.25])


def test_progress_is_told_and_drawn(tmp_path):
    told = []
    logger = CSVLogger(tmp_path, name="", version="")
    trainer = SimpleNamespace(
        global_step=3,
        num_training_batches=4,
        callback_metrics={"val_dice": 0.5, "elapsed_s": 7.0},  # the time is shown by itself
        loggers=[logger],
    )
    budget = Budget(TrainingConfig(epochs=1))
    show = ShowProgress(tmp_path, budget, DICE, lambda done, figures: told.append((done, figures)))
    show.on_train_batch_end(trainer, None, None, None, 2)
    assert told == [(0.75, {"val_dice": 0.5})]
    assert list(tmp_path.iterdir()) == []
    logger.log_metrics({"train_loss": 1.5}, step=2)
    show.on_validation_end(trainer, None)
    assert told == [(0.75, {"val_dice": 0.5})] * 2
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert (tmp_path / "metrics.csv").read_text().split() == ["step,train_loss", "2,1.5"]
    # A fit without validation draws at its end.
    (tmp_path / "curve.png").unlink()
    show.on_fit_end(trainer, None)
    assert (tmp_path / "curve.png").is_file()
    assert len(told) == 2


def test_progress_without_anyone_to_tell(tmp_path):
    trainer = SimpleNamespace(loggers=[], callback_metrics={})
    show = ShowProgress(tmp_path, Budget(TrainingConfig(epochs=1)), DICE, None)
    show.on_validation_end(trainer, None)
    show.on_fit_end(trainer, None)
    assert list(tmp_path.iterdir()) == []


def test_only_the_first_process_draws(tmp_path, monkeypatch):
    logger = CSVLogger(tmp_path, name="", version="")
    logger.log_metrics({"train_loss": 1.5}, step=2)
    trainer = SimpleNamespace(loggers=[logger], callback_metrics={})
    monkeypatch.setenv("RANK", "1")
    show = ShowProgress(tmp_path, Budget(TrainingConfig(epochs=1)), DICE, None)
    show.on_fit_end(trainer, None)
    assert list(tmp_path.iterdir()) == []
