"""Rates that are too high or too low: the range test and its witnesses."""

from __future__ import annotations

import dataclasses

import pytest

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.learning_rates import learning_rate_too_high, learning_rate_too_low
from volunet.diagnosing.probes.probed import Probed

MOVED = {"moved": 0.97, "steps": 16}
THROWN = {**MOVED, "growth": 30.0}
STILL = [2.0] * 20


@pytest.mark.parametrize("check", [learning_rate_too_high, learning_rate_too_low])
@pytest.mark.parametrize("probed", [True, False])
def test_healthy(make_record, healthy_probes, check, probed):
    assert check(make_record(probed=healthy_probes if probed else None)) is None


def of_layers(samples, record, **keys):
    return {name: samples(**keys) for name in record.layers}


@pytest.mark.parametrize(
    ("rate", "keys", "certainty"),
    [
        (3.0, MOVED, "high"),
        (1.0, MOVED, "medium"),
        (3.0, {}, "low"),
        (0.3, MOVED, None),
        (0.3, THROWN, "medium"),
    ],
)
def test_beyond_the_limit(make_record, samples, healthy_probes, rate, keys, certainty):
    """The range test is thrown off at 1."""
    layers = of_layers(samples, make_record(), **keys)
    finding = learning_rate_too_high(
        make_record(layers=layers, probed=healthy_probes, learning_rate=rate)
    )
    assert (finding and finding.certainty) == certainty
    if finding:
        assert finding.evidence.endswith(
            "a range test at 1 throws a fresh network off and works best at 0.1; the fit went up "
            f"to {rate:g}."
        )
        thrown = "weights moved by 97% of theirs in 16 steps (usual: up to 40%)" in (
            finding.evidence
        )
        assert thrown is bool(keys)
        assert finding.change.endswith("--learning-rate 0.01")


def test_a_network_that_nothing_throws_off(make_record, healthy_probes):
    rates = dataclasses.replace(healthy_probes.rates, losses=[2.0, 2.0, 1.9, 1.6, 1.2, 0.8, 0.8])
    probed = dataclasses.replace(healthy_probes, rates=rates)
    assert learning_rate_too_high(make_record(probed=probed, learning_rate=9.0)) is None


@pytest.mark.parametrize(
    ("losses", "validation", "keys", "certainty"),
    [
        ([2.0, 9.0, *STILL], [1.0], THROWN, "high"),
        (STILL, [870.0, 1.0], THROWN, "high"),
        (STILL, [1.0], THROWN, "medium"),
        ([2.0, 9.0, *STILL], [50.0], {}, "medium"),
        (STILL, [9.0, 1.0], MOVED, None),
    ],
    ids=["rising", "validation", "weights", "losses", "one"],
)
def test_witnesses_alone(make_record, samples, losses, validation, keys, certainty):
    record = make_record(
        metrics={"train_loss": losses, "val_loss": validation},
        layers=of_layers(samples, make_record(), **keys),
        learning_rate=3.0,
    )
    finding = learning_rate_too_high(record)
    assert (finding and finding.certainty) == certainty
    if finding:
        said = finding.evidence
        assert ("they grew to 30 times their first norm" in said) is bool(keys)
        assert ("the training loss went up from 2 to 9" in said) is (9.0 in losses)
        assert (f"the validation loss was {validation[0]:g}, the" in said) is (validation[0] > 10)
        # The optimizer's own.
        assert finding.change == "volunet train scans -o NEW --minutes 2"


def test_a_rate_below_the_optimizers_own(make_record, samples):
    layers = of_layers(samples, make_record(), **THROWN)
    finding = learning_rate_too_high(make_record(layers=layers, learning_rate=1e-3))
    assert finding.change.endswith("--learning-rate 0.0001")


@pytest.mark.parametrize(
    ("moved", "steps", "found"),
    [(0.8, 150, False), (0.4, 15, False), (0.95, 16, True), (0.95, 24, False), (0.5, 4, True)],
)
def test_movements_grow_with_the_root_of_the_steps(make_record, samples, moved, steps, found):
    """0.8 in 150 steps, as a healthy fit has when it leaves the drawn weights, is 0.065 a root."""
    layers = of_layers(samples, make_record(), moved=moved, steps=steps)
    # A validation loss as of networks that have nothing in common is the other witness.
    record = make_record(metrics={"val_loss": [99.0, 1.0]}, layers=layers)
    finding = learning_rate_too_high(record)
    assert (finding is not None) is found
    if found:
        assert finding.certainty == "medium"
        assert f"weights moved by {moved:.0%} of theirs in {steps} steps (usual: up to " in (
            finding.evidence
        )


@pytest.mark.parametrize(("steps", "found"), [(80, True), (1200, False)])
def test_growth_that_is_judged(make_record, samples, steps, found):
    """To 30 times their norm within 321 steps, or within 4,801, as in a long healthy fit."""
    layers = of_layers(samples, make_record(), growth=30.0, steps=steps)
    finding = learning_rate_too_high(make_record(metrics={"val_loss": [99.0, 1.0]}, layers=layers))
    assert (finding is not None) is found
    if found:
        assert "they grew to 30 times their first norm within 1000 steps (usual: 1 to 3)" in (
            finding.evidence
        )


def test_a_movement_that_is_not_known_is_no_standstill(make_record, samples, healthy_probes):
    """After an early resumption none is known: the range test alone says that the rate is low."""
    known = [dataclasses.replace(look, update_ratio=None) for look in samples()]
    record = make_record(
        metrics={"train_loss": STILL},
        layers=dict.fromkeys(make_record().layers, known),
        probed=healthy_probes,
        learning_rate=3e-6,
    )
    finding = learning_rate_too_low(record)
    assert "moved by" not in finding.evidence
    record = dataclasses.replace(record, probed=Probed())
    reason = "range test: the probes were not run; and no movement of a layer is known"
    assert learning_rate_too_low(record) == LeftOut(reason)


@pytest.mark.parametrize(
    ("moved", "probed", "certainty"),
    [
        (0.001, True, "high"),
        (0.01, True, "high"),
        (0.001, False, "high"),
        (0.01, False, "medium"),
        (0.1, True, None),
    ],
)
def test_hardly_moved(make_record, samples, healthy_probes, moved, probed, certainty):
    """Four samples see a movement; in all it is four times as much."""
    record = make_record(
        metrics={"train_loss": STILL},
        layers=of_layers(samples, make_record(), moved=moved),
        probed=healthy_probes if probed else None,
        learning_rate=3e-6,
    )
    finding = learning_rate_too_low(record)
    assert (finding and finding.certainty) == certainty
    if finding:
        assert f"the layers' weights moved by {4 * moved:.2%} of theirs in all" in finding.evidence
        assert (
            "a range test took a fresh network's loss down by 60%" in finding.evidence
        ) is probed
        assert finding.change.endswith("0.01" if probed else "3e-05")


def test_a_loss_that_fell_had_rate_enough(make_record, samples, healthy_probes):
    layers = of_layers(samples, make_record(), moved=0.001)
    record = make_record(layers=layers, probed=healthy_probes, learning_rate=3e-6)
    assert learning_rate_too_low(record) is None


@pytest.mark.parametrize(
    "losses", [[2.0, 2.0, 1.95, 1.95, 1.95, 1.9, 1.9], None], ids=["no", "near"]
)
def test_no_rate_teaches_it_either(make_record, samples, healthy_probes, losses):
    """Then the rate is not what is wrong; nor is it near the best."""
    rates = healthy_probes.rates
    if losses:
        rates = dataclasses.replace(rates, losses=losses)
    record = make_record(
        metrics={"train_loss": STILL},
        layers=of_layers(samples, make_record(), moved=0.001),
        probed=dataclasses.replace(healthy_probes, rates=rates),
        learning_rate=3e-6 if losses else 0.03,
    )
    assert learning_rate_too_low(record) is None


def test_neither_layers_nor_probes(make_record):
    record = make_record(metrics={"train_loss": STILL})
    record.layers.clear()
    reason = "range test: the probes were not run; and no layers.csv"
    assert learning_rate_too_high(record) == LeftOut(reason)
    reason = "range test: the probes were not run; and no movement of a layer is known"
    assert learning_rate_too_low(record) == LeftOut(reason)


def test_a_few_steps_say_nothing(make_record, samples, healthy_probes):
    record = make_record(
        metrics=dict.fromkeys(make_record().metrics) | {"train_loss": [2.0, 2.0]},
        layers=of_layers(samples, make_record(), moved=0.0001),
        probed=healthy_probes,
    )
    assert learning_rate_too_low(record) == LeftOut("fewer than 3 rows with a finite loss")
    figures = {"train_loss": [(step, 2.0) for step in (1, 2, 3)]}
    answer = learning_rate_too_low(dataclasses.replace(record, metrics=figures))
    assert answer == LeftOut("3 steps, 60 are needed")
