"""A loss that does not fit the task, and decay that is too strong."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.settings import loss_does_not_fit, weight_decay_too_strong


@pytest.mark.parametrize("check", [loss_does_not_fit, weight_decay_too_strong])
def test_healthy(make_record, check):
    assert check(make_record()) is None


@pytest.mark.parametrize(
    ("activation", "certainty"), [("softmax", "high"), ("sigmoid", "high"), ("relu", "medium")]
)
def test_softmax_of_what_is_no_logit(make_record, activation, certainty):
    finding = loss_does_not_fit(make_record(output_activation=activation))
    assert finding.certainty == certainty
    assert f"ends in {activation}, and the loss dice_cross_entropy takes the softmax" in (
        finding.evidence
    )
    # e / (e + 1): a probability of 1 against one of 0, once more through a softmax.
    assert ("more than 0.73" in finding.evidence) is (activation != "relu")
    assert finding.change == (
        "Let the network answer logits, as every plan of volunet's own does; then volunet train "
        "scans -o NEW --minutes 2"
    )


@pytest.mark.parametrize(
    ("loss", "foreground", "dice", "found"),
    [
        ("l1", 0.002, 0.1, True),
        ("squared_error", 0.002, 0.1, True),
        ("dice", 0.002, 0.1, False),
        ("l1", 0.05, 0.1, False),
        ("l1", 0.002, 0.6, False),
    ],
)
def test_mean_over_voxels_of_a_small_object(make_record, loss, foreground, dice, found):
    record = make_record(
        metrics={"val_dice": [dice] * 4}, loss=loss, fractions=(1 - foreground, foreground)
    )
    finding = loss_does_not_fit(record)
    assert (finding is not None) is found
    if found:
        assert finding.certainty == "medium"
        assert "foreground is 0.20% of the voxels" in finding.evidence
        assert "--loss dice_cross_entropy" in finding.change


@pytest.mark.parametrize(
    ("l2", "growth", "certainty"),
    [(1.0, 1.02, "medium"), (1.0, 0.8, "medium"), (1.0, 0.4, "high"), (0.1, 0.4, None)],
)
def test_decay(make_record, samples, l2, growth, certainty):
    layers = {name: samples(growth=growth) for name in make_record().layers}
    finding = weight_decay_too_strong(make_record(layers=layers, l2=l2))
    assert (finding and finding.certainty) == certainty
    if finding:
        assert finding.where == "--l2 1"
        # 1 − exp(−½ · 0.003 · 400)
        assert "up to 0.30% of each weight away and all 400 steps about 45%" in finding.evidence
        assert f"ended at {growth:.2f} of their first norm" in finding.evidence
        assert f"{5 if growth < 1 else 0} of 5 shrank" in finding.evidence
        assert finding.change == "volunet train scans -o NEW --minutes 2 --l2 0.01"


def test_momentum_repeats_the_decay(make_record):
    """0.01 · 0.01 · 100 are 1 % a step; nnU-Net's 3e-5 are usual."""
    finding = weight_decay_too_strong(make_record(optimizer="sgd"))
    assert "up to 1.00% of each weight" in finding.evidence
    assert finding.change.endswith("--l2 3e-05 --optimizer sgd")
    assert weight_decay_too_strong(make_record(optimizer="sgd", l2=3e-5)) is None


def test_decay_without_layers(make_record):
    record = make_record(l2=1.0)
    record.layers.clear()
    assert isinstance(weight_decay_too_strong(record), LeftOut)


@pytest.mark.parametrize(("l1", "found"), [(1e-2, True), (1e-4, False)])
def test_penalty(make_record, l1, found):
    """100 weights of 1, and a norm's, which has no penalty, beside a training loss of 0.52."""
    record = make_record(l1=l1)
    record.run.folder.mkdir()
    weights = {"head.weight": torch.ones(10, 10), "norm.weight": torch.ones(1000)}
    save_file(weights, record.run.folder / "weights.safetensors")
    finding = weight_decay_too_strong(record)
    assert (finding is not None) is found
    if found:
        assert finding.evidence.startswith(
            "l1 0.01 times the absolute weights is 1, 191% of the training loss of 0.523;"
        )
        # A tenth of the loss, rounded.
        assert finding.change.endswith("--l1 0.0005")


def test_penalty_of_weights_that_are_not_there(make_record):
    assert weight_decay_too_strong(make_record(l1=1.0)) == LeftOut(
        "no weights.safetensors or no finite loss"
    )


def test_penalty_of_weights_that_are_damaged(make_record):
    record = make_record(l1=1.0)
    record.run.folder.mkdir()
    (record.run.folder / "weights.safetensors").write_bytes(b"no weights")
    answer = weight_decay_too_strong(record)
    assert isinstance(answer, LeftOut)
    assert answer.reason.startswith("weights.safetensors cannot be read")
