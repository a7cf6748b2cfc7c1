"""The budget of a fit: the schedule's values, the clock, the end, the time before it began."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from volunet.training.config import TrainingConfig
from volunet.training.fitting.budget import (
    CLOSING_S,
    MARGIN,
    SHORTEST_INTERVAL_S,
    VALIDATIONS,
    WARM_UP_STEPS,
    Budget,
    schedule,
    set_learning_rate,
    validation_interval_s,
)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def trainer_of(**keys):
    weights = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3))]
    optimizer = torch.optim.SGD([{"params": [weight]} for weight in weights], lr=99.0)
    return SimpleNamespace(
        **({"optimizers": [optimizer], "should_stop": False, "global_step": 100} | keys)
    )


def rates(trainer):
    return [group["lr"] for group in trainer.optimizers[0].param_groups]


def step(budget, trainer, clock, seconds):
    budget.on_train_batch_start(trainer, None, None, 0)
    clock.now += seconds
    trainer.global_step += 1
    budget.on_train_batch_end(trainer, None, None, None, 0)


def validate(budget, trainer, clock, seconds):
    budget.on_validation_start(trainer, None)
    clock.now += seconds
    budget.on_validation_end(trainer, None)


@pytest.mark.parametrize(
    ("spent", "step", "share"),
    [
        (0.0, 0, 1 / 30),
        (0.0, 14, 0.5),
        (0.0, 29, 1.0),
        (0.25, 100, 0.853553),
        (0.5, 100, 0.5),
        (0.5, 14, 0.25),
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


def test_minutes(clock):
    budget = Budget(TrainingConfig(minutes=2, learning_rate=0.1), clock=clock)
    trainer = trainer_of()
    assert budget.elapsed_s == 0.0
    budget.on_fit_start(trainer, None)
    # Of 120 s one is left for the closing.
    clock.now += 59.5
    assert budget.spent(trainer) == pytest.approx(0.5)
    step(budget, trainer, clock, 0.0)
    assert rates(trainer) == pytest.approx([0.05, 0.05])
    assert trainer.should_stop is False
    clock.now += 59.5
    step(budget, trainer, clock, 0.1)
    assert rates(trainer) == pytest.approx([0.0, 0.0])
    assert trainer.should_stop is True
    clock.now += 600
    assert budget.spent(trainer) == 1.0
    assert budget.elapsed_s == pytest.approx(719.1)


def test_what_came_before_the_fit_counts_and_the_schedule_covers_the_rest(clock):
    budget = Budget(TrainingConfig(minutes=1, learning_rate=1.0), clock.now, clock=clock)
    clock.now += 20
    assert budget.elapsed_s == pytest.approx(20.0)
    trainer = trainer_of()
    budget.on_fit_start(trainer, None)
    assert budget.spent(trainer) == 0.0
    # 60 − 20 s of preparing − 0.6 s of closing, which is 1 % of a short budget.
    clock.now += 39.4 / 2
    assert budget.spent(trainer) == pytest.approx(0.5)
    clock.now += 39.4 / 2 - 0.1
    step(budget, trainer, clock, 0.0)
    assert trainer.should_stop is False
    step(budget, trainer, clock, 0.2)
    assert trainer.should_stop is True
    assert budget.elapsed_s == pytest.approx(59.5)


def test_a_fit_without_a_checkpoint_goes_on_with_what_was_spent(clock):
    """A run that was killed while it fitted, before its first checkpoint."""
    budget = Budget(TrainingConfig(minutes=1), clock.now, 25.0, clock)
    clock.now += 5
    trainer = trainer_of()
    budget.on_fit_start(trainer, None)
    assert budget.elapsed_s == pytest.approx(30.0)
    assert budget.spent(trainer) == 0.0
    clock.now += (60 - 30 - 0.6) / 2
    assert budget.spent(trainer) == pytest.approx(0.5)


def test_time_before_an_interruption_counts(clock):
    first = Budget(TrainingConfig(minutes=1), clock.now, clock=clock)
    clock.now += 10
    trainer = trainer_of()
    first.on_fit_start(trainer, None)
    step(first, trainer, clock, 2.0)
    validate(first, trainer, clock, 3.0)
    clock.now += 20
    state = first.state_dict()
    assert state == {
        "elapsed_s": pytest.approx(35.0),
        "prepared_s": pytest.approx(10.0),
        "validation_s": pytest.approx(3.0),
    }
    clock.now += 3600  # the machine was off
    second = Budget(TrainingConfig(minutes=1), clock.now, 99.0, clock)
    clock.now += 4  # starting again is part of the budget, preparing was done before
    second.load_state_dict(state)
    trainer = trainer_of()
    second.on_fit_start(trainer, None)
    assert second.elapsed_s == pytest.approx(39.0)
    # 60 s − 10 s of preparing − 1.2 × 3 s of the last validation − 0.6 s.
    assert second.spent(trainer) == pytest.approx((39.0 - 10.0) / 45.8)
    clock.now += 15
    step(second, trainer, clock, 1.0)
    assert trainer.should_stop is False
    step(second, trainer, clock, 1.0)
    assert trainer.should_stop is True
    assert second.state_dict()["elapsed_s"] == pytest.approx(56.0)
    assert second.state_dict()["prepared_s"] == pytest.approx(10.0)


def test_epochs(clock):
    budget = Budget(TrainingConfig(epochs=4, learning_rate=1.0), clock=clock)
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


def test_epochs_of_accumulated_batches():
    budget = Budget(TrainingConfig(epochs=4, accumulate=5))
    # 25 batches an epoch are 5 steps.
    trainer = trainer_of(num_training_batches=25, global_step=10)
    assert budget.spent(trainer) == pytest.approx(0.5)
    trainer.global_step = 20
    assert budget.spent(trainer) == 1.0


def test_reserve_is_the_last_validation_and_grows_with_the_steps(clock):
    budget = Budget(TrainingConfig(minutes=10), clock=clock)
    trainer = trainer_of()
    budget.on_fit_start(trainer, None)
    assert budget.reserve_s == CLOSING_S == 1.0
    for _ in range(3):
        step(budget, trainer, clock, 0.5)
    validate(budget, trainer, clock, 10.0)
    assert MARGIN == 1.2
    assert budget.reserve_s == pytest.approx(13.0)
    # Steps that become three times slower make a validation three times longer: within ten steps
    # nearly so (0.8¹⁰ = 11 % of the difference are left).
    for _ in range(10):
        step(budget, trainer, clock, 1.5)
    assert budget.reserve_s == pytest.approx(1.0 + 12.0 * (3.0 - 2.0 * 0.8**10))
    # The next validation shows it, and is not multiplied again.
    validate(budget, trainer, clock, 30.0)
    assert budget.reserve_s == pytest.approx(37.0)
    # Quicker steps promise nothing.
    for _ in range(50):
        step(budget, trainer, clock, 0.5)
    assert budget.reserve_s == pytest.approx(37.0)


def test_intervals_of_validations():
    assert (VALIDATIONS, SHORTEST_INTERVAL_S) == (12, 5.0)
    assert validation_interval_s(600.0) == 50.0
    assert validation_interval_s(12.0) == 5.0


def run_to_the_end(slowness, *, minutes=10.0, step_s=0.4, validation_s=6.0):
    """A fit as Lightning calls its hooks; everything takes `slowness(seconds so far)` times longer.

    Returns:
        Seconds in all, and the learning rate of each step.
    """
    clock = Clock()
    begin = clock.now
    budget = Budget(TrainingConfig(minutes=minutes, learning_rate=1.0), begin, clock=clock)
    trainer = trainer_of(global_step=0)
    clock.now += 0.05 * 60 * minutes
    budget.on_fit_start(trainer, None)
    validated, seen = clock.now, []
    while not trainer.should_stop:
        step(budget, trainer, clock, step_s * slowness(clock.now - begin))
        seen.append(rates(trainer)[0])
        if trainer.should_stop or clock.now - validated >= validation_interval_s(60 * minutes):
            validate(budget, trainer, clock, validation_s * slowness(clock.now - begin))
            validated = clock.now
    return clock.now - begin, np.array(seen)


MACHINES = {
    "steady": lambda _: 1.0,
    "slower-midway": lambda seconds: 3.0 if seconds > 300 else 1.0,
    "slower-early": lambda seconds: 3.0 if seconds > 60 else 1.0,
    "slower-late": lambda seconds: 3.0 if seconds > 540 else 1.0,
    "slower-in-the-last-validation": lambda seconds: 3.0 if seconds > 585 else 1.0,
    "quicker-midway": lambda seconds: 1 / 3 if seconds > 300 else 1.0,
    "slower-and-quicker-again": lambda seconds: 3.0 if 300 < seconds < 560 else 1.0,
}


@pytest.mark.parametrize("slowness", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize("step_s", [0.2, 1.0])
def test_the_fit_ends_with_its_minutes_at_a_rate_of_0(slowness, step_s):
    seconds, seen = run_to_the_end(slowness, step_s=step_s)
    assert seconds == pytest.approx(600.0, rel=0.03)
    assert seen.max() > 0.9
    # The schedule ends where the steps do: at a thousandth of the highest rate or less.
    assert 0 <= seen[-1] < 1e-3


def test_a_steady_machine_has_a_steady_schedule():
    _, seen = run_to_the_end(MACHINES["steady"])
    assert (np.diff(seen[WARM_UP_STEPS:]) < 0).all()
    # The middle of the steps has half of the rate. The reserve, unknown until the first validation,
    # and the warm-up shift it by a little.
    assert seen[len(seen) // 2] == pytest.approx(0.5, abs=0.03)


def test_a_machine_that_slows_down_makes_fewer_steps():
    _, steady = run_to_the_end(MACHINES["steady"])
    _, slower = run_to_the_end(MACHINES["slower-midway"])
    # Of the time for steps a half is three times slower: two thirds are left.
    assert len(slower) == pytest.approx(2 / 3 * len(steady), rel=0.1)


@pytest.mark.parametrize("minutes", [0.5, 30.0])
def test_any_budget_ends_in_time(minutes):
    def slowness(seconds):
        return 3.0 if seconds > 30 * minutes else 1.0

    seconds, seen = run_to_the_end(slowness, minutes=minutes, step_s=0.1, validation_s=0.3)
    assert seconds == pytest.approx(60 * minutes, rel=0.03)
    assert seen[-1] < 1e-3


@pytest.mark.parametrize(
    ("spent_s", "steps", "ends"),
    [(59.5, 7, True), (50, 7, False), (70, 0, False)],
    ids=["over", "not-over", "new"],
)
def test_a_resumed_fit_whose_time_is_over_makes_no_step(clock, spent_s, steps, ends):
    budget = Budget(TrainingConfig(minutes=1), clock=clock)
    state = {"elapsed_s": spent_s, "prepared_s": 1.0, "validation_s": 0.5}
    budget.load_state_dict(state)
    trainer = trainer_of(global_step=steps)
    budget.on_fit_start(trainer, None)
    budget.on_train_start(trainer, None)
    assert trainer.should_stop is ends


def test_a_budget_that_is_over_is_one_step(clock):
    budget = Budget(TrainingConfig(minutes=1, learning_rate=1.0), clock.now - 100, clock=clock)
    trainer = trainer_of()
    budget.on_fit_start(trainer, None)
    assert budget.spent(trainer) == 1.0
    step(budget, trainer, clock, 1.0)
    assert rates(trainer) == [0.0, 0.0]
    assert trainer.should_stop is True
