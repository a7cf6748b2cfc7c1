"""What goes wrong in a training: it stops, says where and why, and what was good is kept."""

from __future__ import annotations

import csv
import math
import multiprocessing
import os
import re
import signal
import sys
from datetime import timedelta

import pytest
import torch
from safetensors.torch import load_file

import volunet
from volunet.errors import DatasetError, OutputError, TrainingError
from volunet.training.fitting import checkpoints
from volunet.training.fitting.checkpoints import read_checkpoint
from volunet.training.fitting.module import FittedModule
from volunet.training.record.run_folder import read_run

TINY = {"features": (4, 8), "patch_size": (12, 12, 12), "workers": 0}
"""Of four blobs three train: two steps of two patches an epoch."""


@pytest.fixture
def each_step(monkeypatch):
    """A checkpoint follows each step."""
    monkeypatch.setattr(checkpoints, "INTERVAL", timedelta(microseconds=1))


@pytest.fixture
def command_line(tmp_path):
    """Run ``volunet`` with some words in a forked process: exit status, stdout, stderr."""

    def run(*words):
        out, err = tmp_path / "stdout", tmp_path / "stderr"

        def work():
            from volunet.cli.main import main

            with out.open("w") as sys.stdout, err.open("w") as sys.stderr:
                main([str(word) for word in words])

        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
        return process.exitcode, out.read_text(), err.read_text()

    return run


def rows(run):
    with (run / "metrics.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def tensors(run):
    """The kept weights, and all that the last state holds."""
    state = read_checkpoint(run / "last.ckpt")
    return [
        *load_file(run / "weights.safetensors").values(),
        *state["state_dict"].values(),
        *state["current_model_state"].values(),
    ]


def once(name, done):
    """A report function's filter: that stage, that far."""

    def holds(stage, share):
        return stage == name and share >= done

    return holds


# A damaged file


def damage(run):
    """Cut a training case's prepared image in half."""
    case = read_run(run).training[1]
    file = run / "cache" / f"{case}.image.npy"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    return file


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file(blobs, tmp_path, workers):
    run = tmp_path / "run"
    is_prepared = once("prepare the cases", 1.0)
    damaged = []

    def progress(stage, done, figures):
        if is_prepared(stage, done) and not damaged:
            damaged.append(damage(run))

    with pytest.raises(DatasetError) as raised:
        volunet.train(blobs, run, epochs=3, progress=progress, **TINY | {"workers": workers})
    # As it was raised, not a text of a worker's tracebacks.
    assert type(raised.value) is DatasetError
    assert raised.value.where == str(damaged[0])
    assert "prepared array cannot be read" in raised.value.found
    # What it says to do.
    assert raised.value.do == "Delete it; volunet train --resume makes it again."
    damaged[0].unlink()
    assert volunet.train(blobs, run, resume=True).steps == 6


def test_a_damaged_file_on_the_command_line(blobs, tmp_path, command_line):
    run = tmp_path / "run"
    volunet.train(blobs, run, epochs=1, **TINY | {"workers": 1})
    file = damage(run)
    status, out, err = command_line("train", blobs, "-o", run, "--resume", "--epochs", "3")
    assert status == 2
    assert out == ""
    assert f"{file}: case {file.name.split('.')[0]}'s prepared array cannot be read" in err
    assert "Delete it; volunet train --resume makes it again." in err
    assert "Traceback" not in err


# A worker that is killed


def test_a_worker_that_is_killed(blobs, tmp_path, each_step):
    run = tmp_path / "run"
    told = []

    def progress(stage, done, figures):
        told.append(stage)
        if told.count("train") == 4:
            (worker,) = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(TrainingError) as raised:
        volunet.train(blobs, run, epochs=200, progress=progress, **TINY | {"workers": 1})
    error = raised.value
    assert error.where == "a process that prepares patches"
    # PyTorch knows the signal only where it was told of the death before it missed the batch.
    assert re.search(r"DataLoader worker .*(killed by signal|exited unexpected)", error.found)
    assert "--resume --workers 0" in error.do
    # The run goes on from its last step.
    steps = read_checkpoint(run / "last.ckpt")["global_step"]
    assert 2 <= steps < 400
    assert volunet.train(blobs, run, resume=True, epochs=steps).steps == 2 * steps


# Numbers that are none


def spoil(monkeypatch, after):
    """The loss is NaN from the step on that follows `after`."""
    original = FittedModule.training_step
    calls = []

    def spoilt(self, batch, batch_idx):
        calls.append(batch_idx)
        loss = original(self, batch, batch_idx)
        return loss * math.nan if len(calls) > after else loss

    monkeypatch.setattr(FittedModule, "training_step", spoilt)
    return calls


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_loss_that_is_no_number(blobs, tmp_path, monkeypatch, each_step, after):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        calls = spoil(patch, after)
        with pytest.raises(TrainingError) as raised:
            volunet.train(blobs, run, epochs=3, **TINY)
    # At once: the step was not made.
    assert len(calls) == after + 1
    assert raised.value.where == f"step {after}"
    assert raised.value.found == "a loss or gradient that is not finite"
    last = rows(run)[-1]
    assert (last["step"], last["train_loss"], last["gradient_norm"]) == (str(after), "nan", "nan")
    # What is kept is from before it: of no step, of one, or of a validation.
    weights = load_file(run / "weights.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    assert (run / "last.ckpt").exists() is (after > 0)
    if after:
        assert read_checkpoint(run / "last.ckpt")["global_step"] == after
        assert all(torch.isfinite(tensor).all() for tensor in tensors(run))
    # With good losses it goes on.
    assert volunet.train(blobs, run, resume=True).steps == 6


def test_a_learning_rate_that_throws_the_weights_away(blobs, tmp_path, each_step):
    run = tmp_path / "run"
    with pytest.raises(TrainingError, match="a loss or gradient that is not finite"):
        volunet.train(blobs, run, epochs=30, learning_rate=1e30, **TINY)
    assert rows(run)[-1]["train_loss"] in ("nan", "inf")
    assert int(rows(run)[-1]["step"]) < 10
    assert all(torch.isfinite(tensor).all() for tensor in tensors(run))


def test_the_doctor_is_asked(blobs, tmp_path, command_line):
    run = tmp_path / "run"
    flags = ("--epochs", "30", "--features", "4,8", "--patch-size", "12", "--workers", "0")
    status, out, err = command_line("train", blobs, "-o", run, *flags, "--learning-rate", "1e30")
    assert status == 1
    assert out == ""
    assert "a loss or gradient that is not finite." in err
    # Behind the error: the finding, its evidence and the command.
    said = err[err.index("checkpoint from before it are kept") :]
    assert "divergence, high certainty: " in said
    assert "is no finite number at step" in said
    assert "--learning-rate 1e+29" in said
    assert f"volunet doctor {run} tries the network out as well." in said
    assert "low certainty" not in said


# Ctrl-C twice


def test_interrupted_twice(blobs, tmp_path):
    """At once, and as Python's callers know it; Lightning would end the process."""
    before = signal.getsignal(signal.SIGINT)

    def progress(stage, done, figures):
        if stage == "train":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        volunet.train(blobs, tmp_path / "run", epochs=20, progress=progress, **TINY)
    assert signal.getsignal(signal.SIGINT) is before


# A full disk


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk(blobs, tmp_path, each_step, files_of_at_most, workers):
    run = tmp_path / "run"
    # Wide, so that a state is the largest of the files.
    wide = {"features": (16, 32), "patch_size": (12, 12, 12), "workers": workers}
    volunet.train(blobs, run, epochs=1, **wide)
    files = [run / name for name in ("last.ckpt", "weights.safetensors", "metrics.csv")]
    before = [file.read_bytes() for file in files]
    others = [f.stat().st_size for f in run.rglob("*") if f.is_file() and f.name != "last.ckpt"]
    assert max(others) < len(before[0]) // 2
    with files_of_at_most(len(before[0]) // 2), pytest.raises(OutputError) as raised:
        volunet.train(blobs, run, resume=True, epochs=3)
    assert raised.value.where == str(run / "last.ckpt")
    assert raised.value.found == "cannot be written: file too large"
    assert raised.value.do == "Free some space, or choose another folder."
    assert [file.read_bytes() for file in files[:2]] == before[:2]
    assert not list(run.glob(".volunet-scratch-*"))
    result = volunet.train(blobs, run, resume=True, epochs=3)
    assert result.steps == 6
    assert [row["step"] for row in rows(run) if row["val_dice"]] == ["1", "3", "5"]


def test_a_full_disk_under_the_figures(blobs, tmp_path, files_of_at_most):
    """The table and TensorBoard's file, which fail before the checkpoint does."""
    run = tmp_path / "run"
    volunet.train(blobs, run, epochs=1, **TINY)
    before = (run / "metrics.csv").read_bytes()
    with files_of_at_most(200), pytest.raises(OutputError, match=r"run.*: cannot be written: file"):
        volunet.train(blobs, run, resume=True, epochs=3)
    assert (run / "metrics.csv").read_bytes() == before
    assert volunet.train(blobs, run, resume=True, epochs=3).steps == 6


# A memory that is too small


def test_a_step_without_room(blobs, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 TB\nmore")

    monkeypatch.setattr(FittedModule, "training_step", fail)
    with pytest.raises(TrainingError) as raised:
        volunet.train(blobs, tmp_path / "run", epochs=1, **TINY)
    assert raised.value.where == str(tmp_path / "run")
    assert raised.value.found == (
        "no room in memory for a step (DefaultCPUAllocator: can't allocate memory: you tried 8 TB)"
    )
    assert raised.value.do.startswith("Train anew with --batch-size auto, which finds what fits")


def test_other_errors_of_a_step_stay_what_they_are(blobs, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("ours")

    monkeypatch.setattr(FittedModule, "training_step", fail)
    with pytest.raises(RuntimeError, match=r"^ours$"):
        volunet.train(blobs, tmp_path / "run", epochs=1, **TINY)
