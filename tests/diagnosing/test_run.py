"""`diagnose_run`: a run folder as a fit leaves it → findings, what passed, what was left out."""

from __future__ import annotations

import dataclasses
import math
import shutil

import pytest

from volunet.diagnosing.run import CHECKS, diagnose_run
from volunet.errors import ConfigError
from volunet.training.record.run_folder import write_run

NOT_PROBED = (
    "batch-too-small: noise scale: the probes were not run",
    "batch-too-large: noise scale: the probes were not run",
    "cannot-overfit-one-batch: the probes were not run",
)


def faults(diagnosis):
    return [finding.fault for finding in diagnosis.findings]


def test_healthy(make_record, write_record):
    folder = write_record(make_record())
    diagnosis = diagnose_run(folder, probe=False)
    assert (diagnosis.kind, diagnosis.subject) == ("run", str(folder))
    assert diagnosis.findings == diagnosis.consequences == ()
    assert diagnosis.left_out == NOT_PROBED
    assert len(diagnosis.passed) == len(CHECKS) - len(NOT_PROBED)


def test_every_fault_is_looked_for_once():
    names = [check.fault for check in CHECKS]
    assert len(names) == len(set(names)) == 20


def test_a_cause_and_what_it_explains(make_record, write_record, samples):
    """A rate a thousand times too high: the loss goes up and ends above its start."""
    record = make_record(
        metrics={"train_loss": [2.0, *[4.0] * 10, *[9.0] * 9], "train_dice": [0.1] * 5},
        layers={name: samples(moved=0.97, growth=30.0, steps=16) for name in make_record().layers},
        learning_rate=3.0,
    )
    diagnosis = diagnose_run(write_record(record), probe=False)
    assert faults(diagnosis)[0] == "learning-rate-too-high"
    assert diagnosis.findings[0].certainty == "high"
    explained = {one.fault: one.explained_by for one in diagnosis.consequences}
    assert explained["divergence"] == explained["underfitting"] == "learning-rate-too-high"
    assert "divergence" not in diagnosis.passed
    assert "frozen-layers" in diagnosis.passed


def test_a_loss_that_is_no_number(make_record, write_record):
    diagnosis = diagnose_run(
        write_record(make_record(metrics={"train_loss": [2.0, 1.8, math.nan]})), probe=False
    )
    assert faults(diagnosis) == ["divergence"]
    assert diagnosis.findings[0].where == "step 60"


def test_nothing_written_yet(make_run):
    run = make_run()
    run.folder.mkdir()
    write_run(run)
    diagnosis = diagnose_run(run.folder, probe=False)
    assert diagnosis.findings == ()
    assert "divergence: metrics.csv has no train_loss" in diagnosis.left_out
    assert "frozen-layers: layers.csv is not there, or empty" in diagnosis.left_out
    assert set(diagnosis.checked) == {
        "loss-does-not-fit", "weight-decay-too-strong", "no-validation"
    }  # fmt: skip


@pytest.fixture
def bagging_run(make_record, write_record):
    """A run of three networks: the first is healthy, the second frozen, the third not begun."""

    def make(samples):
        whole = make_record(members=3, fold="all/3").run
        whole.folder.mkdir()
        write_run(whole)
        frozen = {
            name: samples(gradient=0.0, moved=0.0)
            for name in make_record().layers
            if name.startswith("encoders")
        }
        for number, layers in ((1, None), (2, frozen)):
            record = make_record(layers=layers, fold=f"{number}/3", minutes=0.6)
            run = dataclasses.replace(record.run, folder=whole.folder / f"fold_{number}")
            write_record(dataclasses.replace(record, run=run))
        return whole.folder

    return make


def test_bagging(bagging_run, samples):
    diagnosis = diagnose_run(bagging_run(samples), probe=False)
    assert faults(diagnosis) == ["frozen-layers"]
    assert diagnosis.findings[0].where == "fold_2: all of encoders"
    # The advice is of the whole run, not of a member.
    assert diagnosis.findings[0].change.endswith("-o NEW --minutes 2 --fold all/3")
    assert "fold_3: it was not begun" in diagnosis.left_out
    assert "fold_1, fold_2: cannot-overfit-one-batch: the probes were not run" in diagnosis.left_out
    assert "frozen-layers" not in diagnosis.passed


def test_a_cause_in_one_member_explains_nothing_in_another(make_record, write_record, samples):
    """Both stand still; only in the first is that so as the rate throws the network off."""
    whole = make_record(members=2, fold="all/2").run
    whole.folder.mkdir()
    write_run(whole)
    still = {"train_loss": [2.0, *[4.0] * 19], "train_dice": [0.1] * 5, "val_dice": [0.1] * 5}
    thrown = {name: samples(moved=0.97, growth=30.0, steps=16) for name in make_record().layers}
    for number, layers in ((1, thrown), (2, None)):
        record = make_record(metrics=still, layers=layers, fold=f"{number}/2", seed=number - 1)
        run = dataclasses.replace(record.run, folder=whole.folder / f"fold_{number}")
        write_record(dataclasses.replace(record, run=run))
    diagnosis = diagnose_run(whole.folder, probe=False)
    places = {finding.fault: finding.where for finding in diagnosis.findings}
    assert places["learning-rate-too-high"] == "fold_1: --learning-rate 0.003"
    assert places["underfitting"] == "fold_2: the training cases"
    explained = {(one.fault, one.where, one.explained_by) for one in diagnosis.consequences}
    assert (
        "underfitting", "fold_1: the training cases", "learning-rate-too-high"
    ) in explained  # fmt: skip
    # The second member's seed is not the run's.
    assert all("--seed" not in finding.change for finding in diagnosis.findings)


def test_bagging_that_is_damaged(bagging_run, samples):
    folder = bagging_run(samples)
    (folder / "fold_1" / "run.json").write_text("{")
    with pytest.raises(ConfigError, match=r"fold_1/run\.json: not a run folder's description"):
        diagnose_run(folder, probe=False)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "run: no such folder"),
        (lambda folder: (folder / "run.json").unlink(), r"run: no run\.json in it"),
        (lambda folder: (folder / "run.json").write_text("{"), "not a run folder's description"),
        (lambda folder: (folder / "plan.json").write_text("{}"), "not a plan of version 2"),
        (lambda folder: (folder / "plan.json").unlink(), "not a run folder's description"),
        (lambda folder: (folder / "metrics.csv").write_text("step,a\nb,1\n"), "a damaged table"),
    ],
    ids=["folder", "run", "run-text", "plan-text", "plan", "metrics"],
)
def test_damaged(make_record, write_record, damage, message):
    folder = write_record(make_record())
    damage(folder)
    with pytest.raises(ConfigError, match=message):
        diagnose_run(folder, probe=False)


def test_a_real_run(blob_run):
    """Two epochs of two steps: nothing can be said of curves, and the network can learn."""
    told = []
    diagnosis = diagnose_run(
        blob_run, seconds=60.0, progress=lambda stage, done, total: told.append(stage)
    )
    assert not [one for one in diagnosis.findings if one.certainty == "high"]
    assert {"cannot-overfit-one-batch", "loss-does-not-fit", "frozen-layers"} <= set(
        diagnosis.passed
    )
    assert set(told) == {"probe"}
    assert not any("probe" in line for line in diagnosis.left_out)


def test_a_run_whose_cache_is_gone(blob_run, tmp_path):
    run = shutil.copytree(blob_run, tmp_path / "run", ignore=shutil.ignore_patterns("cache"))
    diagnosis = diagnose_run(run)
    reason = "no prepared case with foreground in cache/"
    assert f"cannot-overfit-one-batch: {reason}" in diagnosis.left_out


def test_a_plan_that_names_no_network(make_record, write_record):
    """Nothing is said of a network that is not there."""
    record = make_record(network=None)
    diagnosis = diagnose_run(write_record(record), probe=False)
    assert diagnosis.findings == ()
