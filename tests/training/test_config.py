"""The flags of a fit: each value out of its range is refused by name."""

from __future__ import annotations

import pytest

from volunet.errors import ConfigError
from volunet.training.config import MOST_VALIDATED, TrainingConfig


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, r"--minutes, --epochs: no budget\.\nA fit has one budget: .*\nGive one"),
        ({"minutes": 1, "epochs": 1}, r"--minutes, --epochs: both budgets\."),
        (
            {"minutes": 0},
            r"--minutes 0: not above 0 and finite\.\nminutes is above 0 .*\nGive another number\.",
        ),
        ({"minutes": -1.5}, r"--minutes -1\.5: not above 0"),
        ({"minutes": float("nan")}, r"--minutes nan: not above 0"),
        ({"minutes": float("inf")}, r"--minutes inf: not above 0 and finite"),
        ({"epochs": 0}, r"--epochs 0: not above 0"),
        ({"epochs": 1, "learning_rate": 0.0}, r"--learning-rate 0\.0: not above 0"),
        ({"epochs": 1, "learning_rate": -1.0}, r"--learning-rate -1\.0: not above 0"),
        (
            {"epochs": 1, "workers": -2},
            r"--workers -2: below 0\.\nworkers is 0 or more\.\nGive 0 or more\.",
        ),
        ({"epochs": 1, "seed": -3}, r"--seed -3: below 0"),
        (
            {"epochs": 1, "seed": 2**32},
            r"--seed 4294967296: too large\.\nseed is below 4294967296\.\nGive another number\.",
        ),
        (
            {"epochs": 1, "accumulate": 0},
            r"--accumulate 0: below 1\.\naccumulate is 1 or more\.\nGive 1 or more\.",
        ),
        ({"epochs": 1, "validation_cases": 0}, r"--validation_cases 0: below 1"),
        (
            {"epochs": 1, "optimizer": "adam"},
            r"--optimizer adam: no such optimizer\.\nChoices are adamw, sgd\.\nTake one",
        ),
        (
            {"epochs": 1, "loss": "hinge"},
            r"--loss hinge: no such loss\.\nChoices are dice_cross_entropy, cross_entropy, dice, "
            r"focal, tversky, boundary, squared_error, l1\.\nTake one",
        ),
        (
            {"epochs": 1, "precision": "float16"},
            r"--precision float16: no such precision\.\nChoices are float32, bfloat16\.\nTake one",
        ),
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
    adamw, sgd = (TrainingConfig(epochs=1, optimizer=name) for name in ("adamw", "sgd"))
    assert (adamw.own_weight_decay, sgd.own_weight_decay) == (0.01, 3e-5)
    # Momentum 0.99 repeats what a step of SGD takes 100 times.
    a_step = adamw.highest_learning_rate * adamw.own_weight_decay
    assert 100 * sgd.highest_learning_rate * sgd.own_weight_decay == pytest.approx(a_step)


def test_what_is_not_given():
    found = TrainingConfig(minutes=0.5)
    assert (found.loss, found.optimizer) == ("dice_cross_entropy", "adamw")
    assert (found.precision, found.accumulate, found.workers) == ("float32", 1, 1)
    assert found.validation_cases == MOST_VALIDATED == 24
