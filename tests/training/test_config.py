"""How a network is fitted: each value out of its range is refused by name."""

from __future__ import annotations

import pytest

from volunet.errors import ConfigError
from volunet.requests import TrainingRequest
from volunet.training.config import MOST_VALIDATED, TrainingConfig


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, r"--minutes, --epochs: no budget\.\nA fit has one budget: .*\nGive one"),
        ({"minutes": 1, "epochs": 1}, r"--minutes, --epochs: both budgets\."),
        ({"minutes": 0}, r"--minutes 0: not allowed\.\nIt is greater than 0\. Budget in minutes\."),
        ({"epochs": 1, "workers": -2}, r"--workers -2: not allowed\.\nIt is greater than or equal"),
        ({"epochs": 1, "accumulate": 0}, r"accumulate: 0\.\naccumulate is 1 or more\."),
        ({"epochs": 1, "validation_cases": 0}, r"validation_cases: 0\."),
    ],
    ids=lambda value: ",".join(value) or "nothing" if isinstance(value, dict) else "",
)
def test_refusals(keys, message):
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(**keys)


@pytest.mark.parametrize(
    ("keys", "rate"),
    [
        ({}, 3e-3),
        ({"optimizer": "sgd"}, 1e-2),
        ({"learning_rate": 0.5}, 0.5),
        ({"optimizer": "sgd", "learning_rate": 1e-4}, 1e-4),
    ],
    ids=["adamw", "sgd", "given", "sgd-given"],
)
def test_highest_learning_rate(keys, rate):
    assert TrainingConfig(epochs=1, **keys).highest_learning_rate == rate


def test_a_step_decays_the_same_by_either_optimizer():
    names = ("adamw", "sgd")
    adamw, sgd = (TrainingConfig(epochs=1, optimizer=name) for name in names)
    own = [TrainingRequest(optimizer=name).weight_decay for name in names]
    assert own == [0.01, 3e-5]
    assert TrainingRequest(optimizer="sgd", l2=0.5).weight_decay == 0.5
    # Momentum 0.99 repeats what a step of SGD takes 100 times.
    a_step = adamw.highest_learning_rate * own[0]
    assert 100 * sgd.highest_learning_rate * own[1] == pytest.approx(a_step)


def test_what_is_not_given():
    found = TrainingConfig(minutes=0.5)
    assert (found.loss, found.optimizer) == (None, "adamw")
    assert (found.precision, found.accumulate, found.workers) == ("float32", 1, 1)
    assert found.validation_cases == MOST_VALIDATED == 24
