"""What the layers say, each fault beside a healthy record and one that only comes near it."""

from __future__ import annotations

import dataclasses

import pytest

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.layers import (
    dead_activations,
    exploding_gradients,
    frozen_layers,
    group_layers,
    vanishing_gradients,
)


@pytest.mark.parametrize(
    "check", [dead_activations, frozen_layers, vanishing_gradients, exploding_gradients]
)
def test_healthy(make_record, check):
    assert check(make_record(activation="relu")) is None


@pytest.mark.parametrize(
    ("activation", "norm", "share", "certainty"),
    [
        ("relu", "batch", 1.0, "high"),
        ("relu", "batch", 0.6, "medium"),
        ("relu", "batch", 0.4, None),
        ("leaky_relu", "batch", 1.0, "medium"),
        ("leaky_relu", "none", 1.0, "low"),
        ("relu", "none", 1.0, "high"),
        ("elu", "batch", 1.0, None),
    ],
)
def test_dead_activations(make_record, samples, activation, norm, share, certainty):
    layers = {"encoders.1.conv1": samples(silent=share), "encoders.0.conv2": samples(silent=0.3)}
    finding = dead_activations(make_record(layers=layers, activation=activation, norm=norm))
    assert (finding and finding.certainty) == certainty
    if finding:
        assert finding.where == "encoders.1.conv1"
        assert f"{share:.0%} of the channels of encoders.1.conv1 have no" in finding.evidence
        # The preset is auto already; norm layers are back by themselves.
        assert finding.change == "volunet train scans -o NEW --minutes 2 --learning-rate 0.0003"


def test_a_layer_that_came_back_is_not_dead(make_record, samples):
    silent = samples(silent=1.0, count=4) + samples(silent=0.0, count=3)
    assert dead_activations(make_record(layers={"head": silent}, activation="relu")) is None


def test_layers_without_an_activation_are_not_silent(make_record, samples):
    layers = {"head": samples(silent=None)}
    assert dead_activations(make_record(layers=layers, activation="relu")) is None


@pytest.mark.parametrize(
    ("gradient", "moved", "kept"), [(0.0, 0.0, 3), (0.0, 1e-4, 0), (0.1, 0.0, 3)]
)
def test_frozen_layers(make_record, samples, gradient, moved, kept):
    """Without a gradient, weight decay still moves what the optimizer knows of."""
    encoder = ("encoders.0.conv1", "encoders.0.conv2", "encoders.1.conv1")
    layers = {name: samples(gradient=gradient, moved=moved) for name in encoder}
    finding = frozen_layers(make_record(layers=layers))
    assert finding.certainty == "high"
    assert finding.where == "all of encoders"
    assert finding.evidence == (
        "3 of 5 convolutions had gradient 0 or did not move in any of 5 samples "
        f"({kept} kept their weights exactly); the other layers moved by 0.8 of theirs."
    )


def test_small_steps_are_not_frozen(make_record, samples):
    layers = {"encoders.0.conv1": samples(gradient=1e-9, moved=1e-7)}
    assert frozen_layers(make_record(layers=layers)) is None


def test_all_frozen(make_record, samples):
    layers = {name: samples(gradient=0.0, moved=1e-4) for name in make_record().layers}
    finding = frozen_layers(make_record(layers=layers))
    assert finding.where == "all of encoders, all of decoders, head"
    assert "other layers" not in finding.evidence


@pytest.mark.parametrize("resumed", [False, True], ids=["two-samples", "resumed"])
def test_movements_that_are_not_known_are_none(make_record, samples, resumed):
    """The first sample of a fit and that behind a resumption know of no movement."""
    record = make_record()

    def early():
        first, second, third = samples(moved=0.0)[:3]
        return (first, dataclasses.replace(second, update_ratio=None), third)[: 3 if resumed else 2]

    layers = {name: early() for name in record.layers}
    answer = frozen_layers(dataclasses.replace(record, layers=layers))
    assert answer == LeftOut("fewer than 2 known movements of a layer")


def test_layers_of_which_too_little_is_known_are_left_out(make_record, samples):
    layers = {"encoders.0.conv1": samples(moved=0.0)[:2], "encoders.0.conv2": samples(moved=0.0)}
    finding = frozen_layers(make_record(layers=layers))
    assert finding.where == "encoders.0.conv2"
    assert finding.evidence.startswith("1 of 4 convolutions had gradient 0 or did not move in any")


@pytest.mark.parametrize(("gradient", "found"), [(1e-8, True), (1e-6, False), (0.0, False)])
def test_vanishing_gradients(make_record, samples, gradient, found):
    finding = vanishing_gradients(
        make_record(layers={"encoders.1.conv1": samples(gradient=gradient)})
    )
    assert (finding is not None) is found
    if found:
        assert (finding.certainty, finding.where) == ("medium", "encoders.1.conv1")
        assert "gradient by weight of encoders.1.conv1: 4.6e-09" in finding.evidence


@pytest.mark.parametrize(
    ("clipped", "norm", "certainty"),
    [(0.8, 500.0, "high"), (0.6, 20.0, "medium"), (0.3, 20.0, None)],
)
def test_exploding_gradients(make_record, samples, clipped, norm, certainty):
    record = make_record(
        metrics={"clipped_share": [clipped] * 4, "gradient_norm": [norm] * 3 + [float("nan")]},
        layers={"encoders.1.conv1": samples(gradient=norm)},
    )
    finding = exploding_gradients(record)
    assert (finding and finding.certainty) == certainty
    if finding:
        assert finding.where == "most in encoders.1.conv1"
        assert f"{clipped:.0%} of the steps had a gradient above 12" in finding.evidence


def test_group_layers():
    known = ["encoders.0.conv1", "encoders.0.conv2", "head", "decoders.0.conv1"]
    assert group_layers(known, known) == "all of encoders, head, all of decoders"
    assert group_layers(["encoders.0.conv2"], known) == "encoders.0.conv2"
    many = [f"encoders.{level}.conv1" for level in range(9)]
    assert group_layers(many[:8], many).endswith("encoders.5.conv1 and 2 more")


def test_dead_activations_behind_other_norm_layers_keep_them(make_record, samples):
    record = make_record(layers={"head": samples(silent=1.0)}, activation="relu", norm="instance")
    finding = dead_activations(record)
    assert finding.change.endswith("--norm instance --learning-rate 0.0003")
