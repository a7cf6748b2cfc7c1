"""The budget of a fit: the schedule's values, the clock, and the time before an interruption."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from volunet.training.budget import WARM_UP_STEPS, Budget, schedule, set_learning_rate
from volunet.training.config import TrainingConfig


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def trainer_of(**keys):
    weights = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3))]
    optimizer = torch.optim.SGD([{"params": [weight]} for weight in weights], lr=99.0)
    return SimpleNamespace(
        **({"optimizers": [optimizer], "should_stop": False, "global_step": 100} | keys)
    )


def rates(trainer):
    return [group["lr"] for group in trainer.optimizers[0].param_groups]


@pytest.mark.parametrize(
    ("spent", "step", "share"),
    [
        (0.0, 0, 1 / 30),
        (0.0, 14, 0.5),
        (0.0, 29, 1.0),
        (0.25, 100, 0.853553),
        (0.5, 100, 0.5),
        (1.0, 100, 0.0),
    ],
)
def test_schedule(spent, step, share):
    # 0.25 is a quarter of the cosine: ½(1 + cos 45°).
    assert schedule(spent, step) == pytest.approx(share, abs=1e-6)


def test_schedule_rises_then_falls():
    values = np.array([schedule(step / 500, step) for step in range(501)])
    top = int(values.argmax())
    assert top == WARM_UP_STEPS - 1
    assert (np.diff(values[: top + 1]) > 0).all()
    assert (np.diff(values[top:]) < 0).all()


def test_learning_rate_of_every_group():
    trainer = trainer_of()
    set_learning_rate(trainer.optimizers[0], 0.25)
    assert rates(trainer) == [0.25, 0.25]


def test_minutes():
    clock = Clock()
    budget = Budget(TrainingConfig(minutes=2, learning_rate=0.1), clock)
    trainer = trainer_of()
    assert budget.elapsed_s == 0.0
    budget.on_fit_start(trainer, None)
    clock.now += 60
    assert budget.spent(trainer) == pytest.approx(0.5)
    budget.on_train_batch_start(trainer, None, None, 0)
    assert rates(trainer) == pytest.approx([0.05, 0.05])
    budget.on_train_batch_end(trainer, None, None, None, 0)
    assert trainer.should_stop is False
    clock.now += 60
    budget.on_train_batch_end(trainer, None, None, None, 1)
    assert trainer.should_stop is True
    clock.now += 600
    assert budget.spent(trainer) == 1.0
    assert budget.elapsed_s == pytest.approx(720.0)


def test_time_before_an_interruption_counts():
    clock = Clock()
    first = Budget(TrainingConfig(minutes=1), clock)
    first.on_fit_start(trainer_of(), None)
    clock.now += 45
    state = first.state_dict()
    assert state == {"elapsed_s": pytest.approx(45.0)}
    clock.now += 3600  # the machine was off
    second = Budget(TrainingConfig(minutes=1), clock)
    second.load_state_dict(state)
    trainer = trainer_of()
    second.on_fit_start(trainer, None)
    assert second.spent(trainer) == pytest.approx(0.75)
    clock.now += 14
    second.on_train_batch_end(trainer, None, None, None, 0)
    assert trainer.should_stop is False
    clock.now += 2
    second.on_train_batch_end(trainer, None, None, None, 1)
    assert trainer.should_stop is True
    assert second.state_dict() == {"elapsed_s": pytest.approx(61.0)}


def test_epochs():
    clock = Clock()
    budget = Budget(TrainingConfig(epochs=4, learning_rate=1.0), clock)
    trainer = trainer_of(num_training_batches=25, global_step=50)
    budget.on_fit_start(trainer, None)
    clock.now += 1e6
    assert budget.spent(trainer) == pytest.approx(0.5)
    budget.on_train_batch_start(trainer, None, None, 0)
    assert rates(trainer) == pytest.approx([0.5, 0.5])
    # Lightning ends the last epoch; the budget does not interfere.
    trainer.global_step = 101
    assert budget.spent(trainer) == 1.0
    budget.on_train_batch_end(trainer, None, None, None, 0)
    assert trainer.should_stop is False
