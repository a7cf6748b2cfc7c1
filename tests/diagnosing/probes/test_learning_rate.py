"""The learning-rate range test: what it says of losses, and a real one."""

from __future__ import annotations

import math

import pytest

from volunet.diagnosing.probes.learning_rate import RangeTest, measure_rates
from volunet.diagnosing.probes.material import find_cases, prepare_material

RATES = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]


@pytest.mark.parametrize(
    ("losses", "best", "limit", "advice"),
    [
        ([2.0, 1.9, 1.5, 1.0, 3.0, 3.0], 1e-2, 1e-1, 1e-3),
        ([2.0, 1.9, 1.5, 1.0, 1.1, 1.3], 1e-2, 1.0, 1e-3),
        ([2.0, 1.9, 1.5, 1.0, 1.1, 1.2], 1e-2, None, 1e-3),
        ([2.0, 1.9, 1.5, 1.0, math.nan], 1e-2, 1e-1, 1e-3),
        ([2.0, 2.0, 2.0, 2.0, 2.0, 1.0], 1.0, None, 0.1),
    ],
    ids=["thrown-off", "slowly", "never", "no-number", "at-the-end"],
)
def test_what_it_says(losses, best, limit, advice):
    test = RangeTest(RATES[: len(losses)], losses)
    assert (test.best, test.limit) == (best, limit)
    assert test.fall == 0.5
    assert test.advice == pytest.approx(advice)


def test_advice_is_a_round_number():
    assert RangeTest([0.02, 0.05, 0.09], [2.0, 1.0, 3.0]).advice == pytest.approx(3e-3)
    assert RangeTest([0.02, 0.03, 0.09], [2.0, 1.0, 3.0]).advice == pytest.approx(3e-3)
    assert RangeTest([0.01, 0.025, 0.09], [2.0, 1.0, 3.0]).advice == pytest.approx(1e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_network_that_learns(blob_probe, optimizer):
    run = blob_probe(optimizer=optimizer)
    material = prepare_material(run, find_cases(run, run.training), 9.0)
    test = measure_rates(material)
    assert test.rates[0] == 1e-5
    assert test.rates[-1] <= 10.0
    assert test.rates[1] / test.rates[0] == pytest.approx(10 ** (1 / 8))
    # Nothing is learnt at the lowest rates, much at the best, which is none of the two ends.
    assert test.losses[8] == pytest.approx(test.losses[0], rel=0.1)
    assert test.fall > 0.2
    assert 1e-3 < test.best < 3.0
    assert test == measure_rates(material)


def test_classes_that_no_batch_shows(blob_probe):
    """Their overlaps stay missed, and are left out of what may fall."""
    run = blob_probe(
        loss="dice",
        classes=("background", "blob", "left", "right"),
        label_values=(0, 1, 2, 3),
        out_channels=4,
    )
    test = measure_rates(prepare_material(run, find_cases(run, run.training), 9.0))
    assert test.fall > 0.2
    assert test.losses[0] < 0.4


def test_time_that_is_over(blob_probe, ticks):
    run = blob_probe()
    material = prepare_material(run, find_cases(run, run.training), 9.0)
    assert measure_rates(material, 10.0, ticks(1.0)) is None
