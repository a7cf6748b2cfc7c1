"""What a killed training loses, and that Ctrl-C leaves a usable run folder: real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from volunet.training.fitting.checkpoints import read_checkpoint
from volunet.training.record.run_folder import read_best_score, read_network, read_run

FLAGS = (
    "--features", "4,8", "--patch-size", "12", "--batch-size", "2", "--precision", "float32",
    "--workers", "1", "--fold", "1/4",
)  # fmt: skip


def volunet(*arguments: str | Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "volunet.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen, is_there, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_there():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"not within {seconds} s: {process.communicate()[1]}")
        time.sleep(0.05)


def spent(checkpoint: dict) -> tuple[float, float]:
    """Seconds in all, and those of them before the fit."""
    (state,) = (s for name, s in checkpoint["callbacks"].items() if name.startswith("Budget"))
    return state["elapsed_s"], state["prepared_s"]


@pytest.fixture
def started(blobs, tmp_path):
    """A training that goes on for minutes, and its run folder."""
    process = volunet("train", blobs, "-o", tmp_path / "run", "--minutes", "10", *FLAGS)
    yield process, tmp_path / "run"
    process.kill()
    process.communicate()


def test_ctrl_c_leaves_a_usable_run(started, blobs):
    process, run = started
    # The logger's folder is there once the fit has begun; a batch takes under 0.1 s.
    wait_for(process, (run / "tensorboard").is_dir, 120)
    time.sleep(3.0)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert "ending after this batch" in errors
    assert "interrupted after" in out
    assert f"Go on with: volunet train {blobs} -o {run} --resume" in out.replace("\n", "")
    steps = read_checkpoint(run / "last.ckpt")["global_step"]
    assert f"interrupted after {steps} steps" in out
    assert steps > 0
    assert 0 <= read_best_score(run) <= 1
    assert sum(p.numel() for p in read_network(read_run(run)).parameters()) > 1000
    scan = blobs / "imagesTr" / "blob_0.nii.gz"
    predictions = run.parent / "predictions"
    predict = volunet("predict", run, scan, "-o", predictions, "--engine", "torch")
    out, errors = predict.communicate(timeout=180)
    assert predict.returncode == 0, errors
    assert [path.name for path in predictions.iterdir()] == ["blob_0.nii.gz"]


@pytest.mark.long
def test_killed_training_goes_on(started, blobs):
    process, run = started
    wait_for(process, (run / "last.ckpt").is_file, 180)
    # Somewhere between two checkpoints.
    time.sleep(2.0)
    process.kill()
    assert process.wait(timeout=10) == -signal.SIGKILL
    checkpoint = read_checkpoint(run / "last.ckpt")
    (before, prepared), steps = spent(checkpoint), checkpoint["global_step"]
    # Starting Python and reading come before the fit; the checkpoint is half a minute into it.
    assert 0 < prepared < before < 600
    assert before - prepared > 25
    assert steps > 0
    # A budget that ends while the command starts again or soon after: what was spent counts.
    minutes = (before + 15) / 60
    resumed = volunet("train", blobs, "-o", run, "--resume", "--minutes", f"{minutes:.4f}")
    out, errors = resumed.communicate(timeout=180)
    assert resumed.returncode == 0, errors
    assert f"{run}: done," in out.replace("\n", "")
    after = read_checkpoint(run / "last.ckpt")
    assert after["global_step"] > steps
    # To the budget's end, but for the last validation; and the command says of all of it.
    assert spent(after)[0] > 60 * minutes - 3
    assert spent(after)[1] == prepared
    said = float(out.replace("\n", " ").split("steps in ")[1].split(" minutes")[0])
    assert said >= round(spent(after)[0] / 60, 1)
    assert sum(p.numel() for p in read_network(read_run(run)).parameters()) > 1000
