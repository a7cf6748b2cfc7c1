"""What the training batches were: foreground, waiting, and their size beside the noise scale."""

from __future__ import annotations

import dataclasses
import math

import pytest

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.batches import (
    batch_too_large,
    batch_too_small,
    loading_starved,
    no_foreground,
)
from volunet.diagnosing.probes.probed import Probed
from volunet.training.planning.noise_scale import NoiseScale


def noise(value, error=0.0, squared=1.0, squared_error=0.01):
    """A noise scale of `value` patches whose |G|² is known well."""
    scale = NoiseScale(value, error, squared, squared_error, value * squared, 12, 12)
    return Probed(noise=scale)


@pytest.mark.parametrize(
    "check", [no_foreground, loading_starved, batch_too_small, batch_too_large]
)
def test_healthy(make_record, healthy_probes, check):
    assert check(make_record(probed=healthy_probes)) is None


@pytest.mark.parametrize(
    ("share", "whole", "certainty"),
    [
        (0.0, 0.05, "high"),
        (0.0005, 0.05, "high"),
        (0.005, 0.05, "medium"),
        (0.015, 0.05, "medium"),
        (0.03, 0.05, None),
        (1e-5, 1e-5, None),
        (0.0, 1e-5, "high"),
    ],
)
def test_no_foreground(make_record, share, whole, certainty):
    metrics = {"foreground_share": [share] * 4}
    finding = no_foreground(make_record(metrics=metrics, fractions=(1 - whole, whole)))
    assert (finding and finding.certainty) == certainty
    if finding:
        assert f"{share:.3%} of their voxels are foreground; the data set's is {whole:.2%}" in (
            finding.evidence
        )
        assert finding.change == "volunet doctor scans"


def test_a_plan_without_a_fingerprint(make_record):
    for share, found in ((0.0, True), (0.001, False)):
        metrics = {"foreground_share": [share] * 4}
        record = make_record(metrics=metrics, fingerprint=None)
        assert (no_foreground(record) is not None) is found


@pytest.mark.parametrize(
    ("waiting", "certainty"), [(0.7, "high"), (0.3, "medium"), (0.15, "low"), (0.05, None)]
)
def test_loading_starved(make_record, waiting, certainty):
    """The first row, in which workers start, does not count."""
    record = make_record(metrics={"waiting_share": [0.0] + 5 * [waiting]}, workers=2)
    finding = loading_starved(record)
    assert (finding and finding.certainty) == certainty
    if finding:
        assert finding.evidence.startswith(
            f"{waiting:.0%} of the time steps waited for patches, prepared by 2 other processes;"
        )
        assert finding.change.endswith("--workers 4")


def test_a_few_steps_do_not_say_that_loading_starves(make_record):
    found = loading_starved(make_record(metrics={"waiting_share": [0.0] + 4 * [0.9]}))
    assert found == LeftOut("4 rows with a share of waiting, 5 are needed")


def test_nobody_else_prepares_patches(make_record):
    record = make_record(metrics={"waiting_share": [0.0] + 5 * [0.6]}, workers=0)
    finding = loading_starved(record)
    assert "prepared by no other processes" in finding.evidence
    assert finding.change.endswith("--workers 1")


@pytest.mark.parametrize(
    ("norm", "batch_size", "patch", "certainty"),
    [
        ("batch", 1, (8, 9, 10), "medium"),
        ("batch", 1, (4, 4, 6), "high"),
        ("batch", 2, (4, 4, 6), None),
        ("instance", 1, (4, 4, 6), None),
    ],
)
def test_one_patch_and_batch_norm(make_record, healthy_probes, norm, batch_size, patch, certainty):
    """A level deeper there are half the voxels on each axis: 4×5×5, or 2×2×3."""
    record = make_record(probed=healthy_probes, norm=norm, batch_size=batch_size, patch_size=patch)
    finding = batch_too_small(record)
    assert (finding and finding.certainty) == certainty
    if finding:
        assert finding.where == "batch norm"
        assert f"from {100 if patch == (8, 9, 10) else 12} values" in finding.evidence
        assert finding.change.endswith("--batch-size 2")


@pytest.mark.parametrize(
    ("scale", "accumulate", "certainty"),
    [(100.0, 1, "medium"), (20.0, 1, "low"), (20.0, 2, None), (4.0, 1, None)],
)
def test_more_noise_than_the_batch_evens_out(make_record, scale, accumulate, certainty):
    finding = batch_too_small(make_record(probed=noise(scale), accumulate=accumulate))
    assert (finding and finding.certainty) == certainty
    if finding:
        assert f"so at least {scale / 1.02:.2g} patches of the run's size" in finding.evidence
        assert finding.change.endswith("--batch-size auto")


def test_smaller_patches_have_more_noise(make_record):
    probed = dataclasses.replace(noise(100.0), voxel_share=0.1)
    assert batch_too_small(make_record(probed=probed)) is None


@pytest.mark.parametrize(("batch_size", "certainty"), [(40, "medium"), (10, "low"), (4, None)])
def test_batch_beyond_the_noise(make_record, batch_size, certainty):
    """After few steps."""
    metrics = {name: [1.0] * 5 for name in make_record().metrics}
    record = make_record(metrics=metrics, probed=noise(0.5, 0.1), batch_size=batch_size)
    assert record.steps < 500
    finding = batch_too_large(dataclasses.replace(record, metrics={"train_loss": [(90, 1.0)]}))
    assert (finding and finding.certainty) == certainty
    if finding:
        assert f"a step takes {batch_size} patches, and the fit made 90 steps" in finding.evidence
        assert finding.change.endswith("--batch-size 2")
    # With enough steps, a large batch costs nothing.
    assert (
        batch_too_large(dataclasses.replace(record, metrics={"train_loss": [(900, 1.0)]})) is None
    )


def test_noise_that_is_not_known(make_record):
    reason = LeftOut("noise scale: the probes were not run")
    assert batch_too_small(make_record()) == batch_too_large(make_record()) == reason
    unknown = noise(math.inf, math.inf, squared=0.0, squared_error=1.0)
    record = make_record(probed=unknown, batch_size=64)
    assert batch_too_large(dataclasses.replace(record, metrics={})) is None
    assert batch_too_small(record) is None


def test_a_data_set_whose_name_has_a_space(make_record):
    record = make_record(metrics={"foreground_share": [0.0] * 4})
    run = dataclasses.replace(record.run, dataset="my scans")
    finding = no_foreground(dataclasses.replace(record, run=run))
    assert finding.change == "volunet doctor 'my scans'"
