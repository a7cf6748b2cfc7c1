"""All probes within some seconds, and what is left out and why."""

from __future__ import annotations

import itertools
import shutil

import numpy as np

from volunet.diagnosing.probes.probed import Probed, run_probes
from volunet.training.record.run_folder import read_run


def test_all_of_them(blob_probe):
    told = []
    probed = run_probes(
        blob_probe(), 60.0, lambda stage, done, total: told.append((stage, done, total))
    )
    assert probed.one_batch.learns
    assert probed.rates.fall > 0.2
    assert probed.noise.pairs == 12
    assert probed.case_dice is None
    assert probed.voxel_share == 1.0
    assert told == [("probe", done, 4) for done in range(5)]


def test_no_time(blob_probe, ticks):
    probed = run_probes(blob_probe(), 20.0, clock=ticks(1.0))
    assert probed == Probed(reason="the smallest step takes too long for 20 s of probes")


def test_time_for_some(blob_probe):
    """Steps take no time at first, and long ones after the network has learnt its batch."""
    reads = itertools.count()
    probed = run_probes(
        blob_probe(), 30.0, clock=lambda: max(0, (number := next(reads)) - 40) + 1e-6 * number
    )
    assert probed.one_batch.learns
    assert (probed.rates, probed.noise) == (None, None)
    assert probed.reason == "the 30 s of the probes were over"


def test_cases_of_a_network_that_was_trained(blob_run):
    probed = run_probes(read_run(blob_run), 60.0)
    dice = probed.case_dice
    assert (len(dice.training), len(dice.validation)) == (3, 1)
    assert all(0 <= score <= 1 for score in (*dice.training, *dice.validation))
    assert dice.deviation() is None


def test_no_cases(blob_probe):
    run = blob_probe()
    shutil.rmtree(run.folder / "cache")
    assert run_probes(run).reason == "no prepared case with foreground in cache/"


def test_no_foreground(blob_probe):
    run = blob_probe()
    for name in run.training:
        np.save(run.folder / "cache" / f"{name}.places.npy", np.zeros((0, 4), np.int32))
    assert run_probes(run).reason == "no prepared case with foreground in cache/"


def test_no_foreground_in_the_patches(blob_probe):
    run = blob_probe()
    for name in run.training:
        file = run.folder / "cache" / f"{name}.target.npy"
        np.save(file, np.zeros_like(np.load(file)))
    probed = run_probes(run, 60.0)
    assert probed == Probed(reason="no patch of the probes shows foreground")


def test_a_damaged_case(blob_probe):
    run = blob_probe()
    (run.folder / "cache" / "blob_0.image.npy").write_bytes(b"no array")
    assert run_probes(run).reason.startswith("case blob_0's prepared array cannot be read")
