"""`train`: a folder of labelled scans → a run folder; and going on with one."""

from __future__ import annotations

import json
import logging
import math
import shutil

import pytest

import volunet
from volunet.errors import ConfigError, DatasetError, OutputError

TINY = {"features": (2, 4), "patch_size": (12, 12, 12), "workers": 0}


def description(run):
    return json.loads((run / "run.json").read_text())


@pytest.mark.parametrize(
    ("cases", "fold", "validating"),
    [(1, "all", 0), (2, "1/2", 1), (3, "1/3", 1)],
    ids=["one", "two", "three"],
)
def test_few_cases_make_fewer_folds(write_blobs, tmp_path, caplog, cases, fold, validating):
    dataset = write_blobs(tmp_path / "blobs", cases=cases)
    with caplog.at_level(logging.WARNING):
        result = volunet.train(dataset, tmp_path / "run", epochs=1, **TINY)
    run = description(tmp_path / "run")
    assert run["config"]["fold"] == fold
    assert (len(run["training"]), len(run["validation"])) == (cases - validating, validating)
    assert not set(run["training"]) & set(run["validation"])
    said = "one case, which trains" if cases == 1 else f"{cases} cases, so fold 1 of {cases}"
    assert said in caplog.text
    assert math.isnan(result.best_dice) is (cases == 1)


def test_four_cases(blob_run):
    run = description(blob_run)
    assert run["config"]["fold"] == "1/4"
    assert (len(run["training"]), len(run["validation"])) == (3, 1)


def test_what_is_given_stands_in_the_plan(blobs, tmp_path):
    told = []
    result = volunet.train(
        blobs,
        tmp_path / "run",
        epochs=1,
        fold="2/2",
        features=(2, 3, 4),
        patch_size=(8, 9, 10),
        batch_size=3,
        spacing_mm=(2.5, 1.5, 1.25),
        optimizer="sgd",
        learning_rate=0.125,
        workers=0,
        seed=5,
        progress=lambda stage, done, figures: told.append((stage, done)),
    )
    plan = result.plan
    assert plan.network.features == (2, 3, 4)
    assert (plan.patch_size, plan.batch_size) == ((8, 9, 10), 3)
    assert plan.spacing_mm == (2.5, 1.5, 1.25)
    assert (result.run, result.steps, result.interrupted) == (tmp_path / "run", 1, False)
    assert 0 <= result.best_dice <= 1
    config = description(result.run)["config"]
    expected = {"fold": "2/2", "optimizer": "sgd", "learning_rate": 0.125, "seed": 5, "epochs": 1}
    assert {key: config[key] for key in expected} == expected
    assert description(result.run)["dataset"] == str(blobs)
    # Each stage is told to its end, in this order.
    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages == ["check the cases", "measure the cases", "prepare the cases", "train"]
    for stage in stages:
        shares = [done for name, done in told if name == stage]
        assert shares[-1] == 1.0
        assert min(shares) > 0


def test_resume_takes_another_budget(blobs, blob_run, tmp_path):
    run = shutil.copytree(blob_run, tmp_path / "run")
    result = volunet.train(blobs, run, epochs=4, resume=True)
    # Two epochs of two steps were done.
    assert result.steps == 8
    again = volunet.train(blobs, run, epochs=4, resume=True)
    assert again.steps == 8
    assert again.best_dice == result.best_dice


def test_resume_with_another_data_set(write_blobs, blob_run, tmp_path):
    other = write_blobs(tmp_path / "other", prefix="ball")
    run = shutil.copytree(blob_run, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    message = (
        r"run: the run was started with 3 cases that .*other does not have, the first blob_.*\n"
        r"A run goes on with the cases that it was started with, from .*blobs\.\n"
        r"Give that data set, or train anew\."
    )
    with pytest.raises(ConfigError, match=message):
        volunet.train(other, run, epochs=4, resume=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_cases_that_are_left_out_make_fewer_folds(write_blobs, tmp_path):
    dataset = write_blobs(tmp_path / "blobs", cases=5)
    (dataset / "labelsTr" / "blob_2.nii.gz").unlink()
    volunet.train(dataset, tmp_path / "run", epochs=1, skip_bad=True, **TINY)
    run = description(tmp_path / "run")
    assert run["config"]["fold"] == "1/4"
    assert sorted(run["training"] + run["validation"]) == ["blob_0", "blob_1", "blob_3", "blob_4"]


def test_wrong_fold_shows_before_the_cases_are_read(blobs, tmp_path):
    told = []
    with pytest.raises(ConfigError, match="fold: '2'"):
        volunet.train(
            blobs, tmp_path / "run", epochs=1, fold="2", progress=lambda *word: told.append(word)
        )
    assert told == []
    assert not (tmp_path / "run").exists()


def test_nothing_to_resume(blobs, tmp_path):
    with pytest.raises(ConfigError, match=r"run: no such folder\.\nA run folder is what"):
        volunet.train(blobs, tmp_path / "run", epochs=4, resume=True)


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({}, ConfigError, r"--minutes, --epochs: no budget"),
        ({"epochs": 1, "minutes": 1.0}, ConfigError, r"--minutes, --epochs: both budgets"),
        ({"epochs": 1, "preset": "large"}, ConfigError, r"preset: 'large'\.\nPresets are auto, n"),
        ({"epochs": 1, "fold": "0/5"}, ConfigError, r"fold: 0/5\.\nA fold is K/N"),
        ({"epochs": 1, "fold": "third"}, ConfigError, r"fold: 'third'\.\n"),
        ({"epochs": 1, "fold": "1/5"}, DatasetError, r"fold: 1/5 of 4 cases\.\n.*at most 4 folds"),
        ({"epochs": 1, "batch_size": 0}, ConfigError, r"batch_size: 0\.\nEach number must be"),
        ({"epochs": 1, "patch_size": (8, 0, 8)}, ConfigError, r"patch_size: 8 × 0 × 8\.\n"),
    ],
    ids=["no-budget", "both", "preset", "fold", "fold-text", "folds", "batch", "patch"],
)
def test_refusals(blobs, tmp_path, keys, error, message):
    with pytest.raises(error, match=message):
        volunet.train(blobs, tmp_path / "run", **keys)
    # Nothing was begun: the corrected call finds the folder empty.
    assert not list((tmp_path / "run").glob("*"))


def test_run_folder_is_not_overwritten(blobs, blob_run):
    before = sorted(blob_run.rglob("*"))
    with pytest.raises(OutputError, match=r"run: the folder is not empty: 8 entries"):
        volunet.train(blobs, blob_run, epochs=1, **TINY)
    assert sorted(blob_run.rglob("*")) == before
