"""Killed at any moment and resumed: a training ends where an undisturbed one ends.

The killed trainings are forked processes that kill themselves at a chosen moment.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
from collections import Counter
from datetime import timedelta

import numpy as np
import pytest
import torch

import volunet
from volunet.errors import ConfigError, TrainingError
from volunet.nets import Ensemble
from volunet.training import start
from volunet.training.fitting import checkpoints
from volunet.training.fitting.checkpoints import read_checkpoint
from volunet.training.planning.fit_to_time import TimedPlan
from volunet.training.record.run_folder import read_network, read_run

TINY = {"features": (4, 8), "patch_size": (12, 12, 12), "workers": 0}
"""Of four blobs three train: two steps of two patches an epoch."""

WIDTH = 8
"""What `timed` plans; the rules' own is 16."""


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def train_killed(dataset, run, stage, count, **keys):
    """Train in a process that ends when it is told of a stage for the count's time."""
    told = Counter()

    def progress(name, done, figures):
        told[name] += 1
        if (name, told[name]) == (stage, count):
            kill_itself()

    end_killed(lambda: volunet.train(dataset, run, progress=progress, **keys))


def end_killed(work):
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.fixture
def each_step(monkeypatch):
    """A checkpoint follows each step."""
    monkeypatch.setattr(checkpoints, "INTERVAL", timedelta(microseconds=1))


@pytest.fixture
def timed(monkeypatch):
    """Instead of measured steps: the network is `WIDTH` wide; what was left is kept."""
    left = []

    def choose(replan, config, left_s, **choices):
        left.append(left_s)
        return TimedPlan(replan(WIDTH, 0.01), config, 10)

    monkeypatch.setattr(start, "fit_to_time", choose)
    return left


@pytest.fixture(scope="module")
def undisturbed(blobs, tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert volunet.train(blobs, run, epochs=3, **TINY).steps == 6
    return run


def rows(run):
    with (run / "metrics.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def assert_same_end(run, other):
    """The same steps, weights, averages and validation loss."""
    end, expected = (read_checkpoint(one / "last.ckpt") for one in (run, other))
    assert end["global_step"] == expected["global_step"]
    for state in ("state_dict", "current_model_state"):
        for name, tensor in expected[state].items():
            # The same patches at the same learning rates: the same sums, bar their order.
            np.testing.assert_allclose(
                end[state][name].numpy(), tensor.numpy(), rtol=1e-4, atol=1e-5
            )
    last, expected_last = ([r for r in rows(one) if r["val_loss"]][-1] for one in (run, other))
    assert float(last["val_loss"]) == pytest.approx(float(expected_last["val_loss"]), rel=1e-3)
    assert float(last["val_dice"]) == pytest.approx(float(expected_last["val_dice"]), abs=0.02)


# Told after batch 1, batch 2, the validation of epoch 1, batch 3, …: each before its checkpoint.
@pytest.mark.parametrize(("told", "steps"), [(1, 0), (2, 1), (3, 2), (8, 5), (9, 6)])
def test_killed_while_it_fits(blobs, undisturbed, tmp_path, each_step, indices, told, steps):
    run = tmp_path / "run"
    train_killed(blobs, run, "train", told, epochs=3, **TINY)
    assert (run / "last.ckpt").exists() is (steps > 0)
    if steps:
        assert read_checkpoint(run / "last.ckpt")["global_step"] == steps
    result = volunet.train(blobs, run, resume=True)
    assert result.steps == 6
    # The patches behind the last step that was kept: none twice, none left out.
    assert indices == list(range(2 * steps, 12))
    assert_same_end(run, undisturbed)
    # A row a step, and none twice.
    assert [row["step"] for row in rows(run) if row["train_loss"]] == list("123456")


def test_the_same_end_is_not_the_same_for_any_run(blobs, undisturbed, tmp_path):
    """What the tests above compare tells another seed from a resumed run."""
    volunet.train(blobs, tmp_path / "run", epochs=3, seed=1, **TINY)
    with pytest.raises(AssertionError):
        assert_same_end(tmp_path / "run", undisturbed)


def test_killed_twice(blobs, undisturbed, tmp_path, each_step, indices):
    run = tmp_path / "run"
    train_killed(blobs, run, "train", 4, epochs=3, **TINY)
    train_killed(blobs, run, "train", 2, resume=True)
    assert read_checkpoint(run / "last.ckpt")["global_step"] == 3
    assert volunet.train(blobs, run, resume=True).steps == 6
    assert indices == list(range(6, 12))
    assert_same_end(run, undisturbed)


def test_killed_while_it_writes_a_checkpoint(blobs, undisturbed, tmp_path, each_step, monkeypatch):
    run = tmp_path / "run"
    calls = []

    def save_half(checkpoint, file):
        calls.append(checkpoint["global_step"])
        if len(calls) == 3:
            file.write(b"half of it")
            file.flush()
            kill_itself()
        original(checkpoint, file)

    original = torch.save
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save_half)
        end_killed(lambda: volunet.train(blobs, run, epochs=3, **TINY))
    assert read_checkpoint(run / "last.ckpt")["global_step"] == 2
    assert volunet.train(blobs, run, resume=True).steps == 6
    assert_same_end(run, undisturbed)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_interrupted(blobs, tmp_path, indices, monkeypatch, accumulate):
    """Ctrl-C, also between the two batches of one step."""
    original = start.start_run

    def with_accumulation(*arguments, **keys):
        run = original(*arguments, **keys)
        config = start.replace(run.config, accumulate=accumulate)
        start.write_run(start.replace(run, config=config))

    monkeypatch.setattr(start, "start_run", with_accumulation)
    told = []

    def interrupt(name, done, figures):
        told.append(name)
        # Told of the first validation, behind two batches: one more follows.
        if name == "train" and told.count("train") == 3:
            os.kill(os.getpid(), signal.SIGINT)

    run = tmp_path / "run"
    first = volunet.train(blobs, run, epochs=3, progress=interrupt, **TINY)
    assert first.interrupted is True
    assert indices == list(range(6))
    second = volunet.train(blobs, run, resume=True)
    assert second.steps == 6 // accumulate
    assert indices == list(range(12))


@pytest.mark.parametrize("stage", ["check the cases", "measure the cases"])
def test_killed_before_there_is_a_plan(blobs, undisturbed, tmp_path, stage):
    run = tmp_path / "run"
    train_killed(blobs, run, stage, 2, epochs=3, **TINY)
    message = r"run: no run\.json in it\.\nA run folder is .*\nCheck the path, or train\."
    with pytest.raises(ConfigError, match=message):
        volunet.train(blobs, run, resume=True)
    # What the message says to do works in the same folder.
    assert volunet.train(blobs, run, epochs=3, **TINY).steps == 6
    assert_same_end(run, undisturbed)


def test_killed_while_it_prepares(blobs, undisturbed, tmp_path):
    run = tmp_path / "run"
    train_killed(blobs, run, "prepare the cases", 2, epochs=3, **TINY)
    assert read_run(run).is_settled is False
    assert len(list((run / "cache").glob("*.places.npy"))) == 2
    assert volunet.train(blobs, run, resume=True).steps == 6
    assert read_run(run).is_settled is True
    assert read_run(run).plan == read_run(undisturbed).plan
    assert_same_end(run, undisturbed)


def test_killed_while_it_prepares_and_planned_on_by_the_clock(blobs, tmp_path, timed):
    run = tmp_path / "run"
    train_killed(blobs, run, "prepare the cases", 2, minutes=10, workers=0)
    assert read_run(run).plan.network.features[0] == 2 * WIDTH
    # As if it had been killed after 400 seconds.
    description = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(description | {"prepared_s": 400.0}))
    told = []

    def stop_soon(name, done, figures):
        told.append(name)
        if told.count("train") == 1:
            os.kill(os.getpid(), signal.SIGINT)
            told.append("train")

    result = volunet.train(blobs, run, resume=True, progress=stop_soon)
    assert result.plan.network.features[0] == WIDTH
    assert read_run(run).plan == result.plan
    # Ten minutes without what had gone.
    assert len(timed) == 1
    assert timed[0] < 200
    assert result.elapsed_s > 400


def test_too_little_time_left_after_preparing(blobs, tmp_path, timed):
    run = tmp_path / "run"
    train_killed(blobs, run, "prepare the cases", 2, minutes=10, workers=0)
    description = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(description | {"prepared_s": 590.0}))
    with pytest.raises(TrainingError, match=r"reading and preparing the cases took 9\.8 minutes"):
        volunet.train(blobs, run, resume=True)
    assert timed == []


def test_minutes_that_were_spent_stay_spent(blobs, tmp_path, each_step, timed):
    run = tmp_path / "run"
    train_killed(blobs, run, "train", 4, minutes=10, workers=0)
    file = run / "last.ckpt"
    state = read_checkpoint(file)
    steps = state["global_step"]
    (budget,) = (s for name, s in state["callbacks"].items() if name.startswith("Budget"))
    assert 0 < budget["elapsed_s"] < 600
    # As if it had been killed two seconds before its end.
    budget["elapsed_s"] = 598.0
    torch.save(state, file)
    told = []
    result = volunet.train(
        blobs, run, resume=True, progress=lambda name, done, figures: told.append((name, done))
    )
    assert next(done for name, done in told if name == "train") > 0.9
    assert result.steps > steps
    assert result.elapsed_s > 598
    assert read_checkpoint(file)["global_step"] == result.steps
    # Now its time is over: nothing is fitted any more.
    weights = (run / "weights.safetensors").read_bytes()
    assert volunet.train(blobs, run, resume=True).steps == result.steps
    assert (run / "weights.safetensors").read_bytes() == weights


def test_minutes_that_preparing_took_stay_spent(blobs, tmp_path, timed):
    """Killed before the first checkpoint: the fit begins anew, with what preparing had left."""
    run = tmp_path / "run"
    train_killed(blobs, run, "train", 2, minutes=10, workers=0)
    assert not (run / "last.ckpt").exists()
    assert 0 < read_run(run).prepared_s < 600
    description = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(description | {"prepared_s": 597.0}))
    result = volunet.train(blobs, run, resume=True)
    assert result.elapsed_s > 597
    assert result.steps > 0
    # It was planned already.
    assert len(timed) == 0


def test_killed_in_the_second_member(blobs, tmp_path, each_step, indices):
    """Two of four cases train each member: a step an epoch."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert volunet.train(blobs, whole, epochs=2, fold="all/2", **TINY).steps == 4
    assert indices == [0, 1, 2, 3] * 2
    # Told twice an epoch; the seventh time of the second member's second batch.
    train_killed(blobs, run, "train", 7, epochs=2, fold="all/2", **TINY)
    states = [read_checkpoint(run / f"fold_{k}" / "last.ckpt")["global_step"] for k in (1, 2)]
    assert states == [2, 1]
    first = (run / "fold_1" / "weights.safetensors").read_bytes()
    indices.clear()
    told = []
    result = volunet.train(
        blobs, run, resume=True, progress=lambda name, done, figures: told.append((name, done))
    )
    assert result.steps == 4
    assert indices == [2, 3]
    assert (run / "fold_1" / "weights.safetensors").read_bytes() == first
    for member in ("fold_1", "fold_2"):
        assert_same_end(run / member, whole / member)
    assert min(done for name, done in told if name == "train") >= 0.5
    network = read_network(read_run(run))
    assert isinstance(network, Ensemble)
    assert len(network.members) == 2


def test_a_budget_given_once_stays(blobs, undisturbed, tmp_path, each_step):
    """Resumed with more epochs and killed again, it goes on with these."""
    run = tmp_path / "run"
    train_killed(blobs, run, "train", 2, epochs=2, **TINY)
    train_killed(blobs, run, "train", 2, epochs=3, resume=True)
    result = volunet.train(blobs, run, resume=True)
    assert result.steps == 6
    assert read_run(run).config.epochs == 3
