"""Dice of the trained network, case by case."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from volunet.diagnosing.probes.case_dice import CaseDice, measure_case_dice
from volunet.diagnosing.probes.material import find_cases


class Bright(nn.Module):
    """Says blob where a voxel is brighter than some deviations."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.full_like(x, self.threshold), x], dim=1)


@pytest.mark.parametrize(("threshold", "low", "high"), [(1.5, 0.99, 1.0), (99.0, 0.0, 0.0)])
def test_each_case(blob_probe, threshold, low, high):
    """Blobs are 10 standard deviations of the noise above their background."""
    run = blob_probe()
    training, validation = find_cases(run, run.training), find_cases(run, run.validation)
    dice = measure_case_dice(run, Bright(threshold), training, validation)
    assert (len(dice.training), len(dice.validation)) == (3, 1)
    for score in (*dice.training, *dice.validation):
        assert low <= score <= high


def test_time_that_is_over(blob_probe, ticks):
    run = blob_probe()
    cases = find_cases(run, run.training)
    dice = measure_case_dice(run, Bright(1.5), cases, cases, 4.0, ticks(1.0))
    assert (len(dice.training), len(dice.validation)) == (2, 1)


def test_so_many_cases_at_the_most(blob_probe):
    run = blob_probe()
    cases = find_cases(run, run.training) * 20
    dice = measure_case_dice(run, Bright(1.5), cases, cases[:1])
    assert (len(dice.training), len(dice.validation)) == (24, 1)


def test_deviation():
    assert CaseDice([0.8] * 4, [0.7, 0.8, 0.8, 0.9]).deviation() == pytest.approx(0.0816, abs=1e-4)
    assert CaseDice([0.8] * 4, [0.7, 0.8, 0.9]).deviation() is None
