"""``torchrun`` with two processes over gloo: they train one network, together to its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from volunet.training.record.run_folder import read_network, read_run

FLAGS = ("--features", "4,8", "--patch-size", "12", "--workers", "0", "--fold", "1/7")
"""Of seven blobs six train: two steps of two times two patches an epoch."""

SCRIPT = '''
"""Train; then each process writes what it was shown and what it ended with."""
import functools, json, os, sys, time
import pytorch_lightning as pl
import volunet
from volunet.datasets.patches import TrainingPatches
from volunet.training import start
from volunet.training.fitting import fit as fit_module

dataset, run, told, keys = sys.argv[1:]
begun = time.monotonic()

def fast():
    """A clock of which the second process has a quicker one."""
    now = time.monotonic()
    return now + 0.4 * int(os.environ["RANK"]) * (now - begun)

fit_module.validation_interval_s = lambda budget_s: 0.5
# On a machine that is busy with other things preparing may take most of the time.
start.LONGEST_PREPARATION = 100.0
for name in ("Budget", "ValidateInTime"):
    setattr(fit_module, name, functools.partial(getattr(fit_module, name), clock=fast))
asked, original_item, original_fit = [], TrainingPatches.__getitem__, pl.Trainer.fit

def item(self, index):
    asked.append(index)
    return original_item(self, index)

def fit(self, module, *arguments, **options):
    original_fit(self, module, *arguments, **options)
    parameters = {name: value.double().sum().item() for name, value in module.named_parameters()}
    ended = {"asked": asked, "parameters": parameters, "steps": self.global_step}
    with open(os.path.join(told, os.environ["RANK"] + ".json"), "w") as file:
        json.dump(ended, file)

TrainingPatches.__getitem__, pl.Trainer.fit = item, fit
fault = json.loads(keys).pop("fault", None)
if fault is not None:
    from volunet.training.fitting.module import FittedModule
    original_step = FittedModule.training_step

    def step(self, batch, batch_idx):
        if self.global_step == 2 and os.environ["RANK"] == fault:
            os._exit(7)
        return original_step(self, batch, batch_idx)

    FittedModule.training_step = step
options = {key: value for key, value in json.loads(keys).items() if key != "fault"}
volunet.train(dataset, run, features=(4, 8), patch_size=(12, 12, 12), workers=0, **options)
'''


@pytest.fixture(scope="module")
def seven(write_blobs, tmp_path_factory):
    return write_blobs(tmp_path_factory.mktemp("seven") / "blobs", cases=7)


def torchrun(*words):
    """Exit status, stdout, stderr of two processes; fails where they do not end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    process = subprocess.Popen(
        [*command, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        out, err = process.communicate(timeout=400)
    except subprocess.TimeoutExpired:
        process.terminate()  # it ends the two
        pytest.fail(f"the processes do not end: {process.communicate()[1]}")
    return process.returncode, out, err


def run_script(tmp_path, dataset, **keys):
    script, told = tmp_path / "script.py", tmp_path / "told"
    script.write_text(SCRIPT)
    told.mkdir()
    ended = torchrun(script, dataset, tmp_path / "run", told, json.dumps(keys))
    return ended, [json.loads(file.read_text()) for file in sorted(told.iterdir())]


@pytest.mark.long
def test_one_network_on_the_command_line(seven, tmp_path):
    run = tmp_path / "run"
    status, out, err = torchrun(
        "-m", "volunet.cli", "train", seven, "-o", run, "--epochs", "2", *FLAGS
    )
    assert status == 0, err
    # The first speaks, the second is silent.
    assert out.replace("\n", "").count("done, 4 steps") == 1
    assert err.count("prepare the cases: 100 %") == 1
    assert err.count("train: 100 %") == 1
    names = {path.name for path in run.iterdir()}
    assert names == {
        "cache", "curve.png", "last.ckpt", "layers.csv", "metrics.csv", "plan.json", "run.json",
        "tensorboard", "weights.safetensors",
    }  # fmt: skip
    assert len(list((run / "tensorboard").glob("events.*"))) == 1
    assert read_network(read_run(run)).training is False


def test_both_end_alike_with_the_minutes(seven, tmp_path):
    """Each validation and the end come at the same step, though their clocks differ."""
    (status, _, err), told = run_script(tmp_path, seven, minutes=0.2, fold="1/7")
    assert status == 0, err
    first, second = told
    assert first["steps"] == second["steps"] > 0
    # Other patches, the same weights.
    assert first["asked"] == list(range(0, 2 * len(first["asked"]), 2))
    assert second["asked"] == list(range(1, 2 * len(second["asked"]), 2))
    assert first["parameters"] == second["parameters"]


@pytest.mark.long
def test_an_error_while_the_first_prepares(seven, write_blobs, tmp_path):
    dataset = write_blobs(tmp_path / "blobs", cases=7)
    file = dataset / "labelsTr" / "blob_3.nii.gz"
    file.write_bytes(file.read_bytes()[:50])
    status, out, err = torchrun(
        "-m", "volunet.cli", "train", dataset, "-o", tmp_path / "run", "--epochs", "2", *FLAGS
    )
    assert status != 0
    assert out == ""
    assert err.count("1 of 7 cases cannot be used") == 1
    assert "blob_3.nii.gz" in err


def test_a_process_that_dies(seven, tmp_path):
    """The other does not wait for it for ever."""
    (status, _, err), told = run_script(tmp_path, seven, epochs=100, fold="1/7", fault="1")
    assert status != 0
    assert told == []
    assert "exitcode  : 7" in err
    # What the first meets is no fault of its own.
    assert "RuntimeError" not in err


@pytest.mark.long
def test_a_loss_that_is_no_number(seven, tmp_path):
    """The first says so, with what the doctor finds; the second leaves it the word."""
    run = tmp_path / "run"
    words = ("train", seven, "-o", run, "--epochs", "20", *FLAGS, "--learning-rate", "1e30")
    status, out, err = torchrun("-m", "volunet.cli", *words)
    assert status != 0
    assert out == ""
    assert err.count("a loss or gradient that is not finite.") == 1
    assert err.count("divergence, high certainty") == 1
