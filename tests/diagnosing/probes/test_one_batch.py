"""Learning one batch by heart: a network that can, and ones that cannot."""

from __future__ import annotations

import math

import pytest
import torch

from volunet.diagnosing.probes.material import find_cases, prepare_material
from volunet.diagnosing.probes.one_batch import STEPS, OneBatch, overfit_one_batch
from volunet.tasks.segmentation.losses import SegmentationLoss


@pytest.fixture
def material(blob_probe):
    def make(**keys):
        run = blob_probe(**keys)
        return prepare_material(run, find_cases(run, run.training), 9.0)

    return make


def test_a_network_that_can(material):
    trial = overfit_one_batch(material())
    assert trial.learns
    assert trial.finished
    assert trial.loss_after < 0.6 * trial.loss_before
    # It ends as soon as it is clear.
    assert 5 < trial.steps < STEPS
    assert trial == overfit_one_batch(material())


@pytest.mark.parametrize(
    "keys", [{"output_activation": "softmax"}, {"norm": "none", "dropout": 0.9}]
)
def test_networks_that_cannot(material, keys):
    trial = overfit_one_batch(material(**keys))
    assert trial.steps == STEPS
    assert trial.finished
    assert not trial.learns
    assert trial.share > 0.6


def test_classes_that_the_batch_does_not_show(material):
    """Of three overlaps two are missed whatever the network answers; it learns the third."""
    made = material(
        loss="dice",
        classes=("background", "blob", "left", "right"),
        label_values=(0, 1, 2, 3),
        out_channels=4,
    )
    trial = overfit_one_batch(made)
    assert trial.learns
    floor = made.floors[0]
    assert (trial.loss_after + floor) / (trial.loss_before + floor) > 0.6


def test_a_loss_that_is_no_number(material, monkeypatch):
    monkeypatch.setattr(SegmentationLoss, "forward", lambda _, x, y: (x * math.nan).sum())
    trial = overfit_one_batch(material())
    assert trial.steps == 0
    assert math.isnan(trial.share)
    assert not trial.learns
    assert trial.finished


def test_time_that_is_over(material, ticks):
    trial = overfit_one_batch(material(output_activation="softmax"), 5.0, ticks(1.0))
    assert trial.steps < 10
    assert not trial.finished


def test_share():
    assert OneBatch(60, 2.0, 0.5, finished=True).share == 0.25
    assert math.isnan(OneBatch(60, 0.0, 0.0, finished=True).share)


def test_it_starts_from_fresh_weights(material):
    """The first loss is that of a network that knows nothing: about ½ and more, and ln 2."""
    torch.manual_seed(99)
    assert 1.0 < overfit_one_batch(material()).loss_before < 2.0
