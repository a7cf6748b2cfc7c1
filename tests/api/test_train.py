"""`train`: a folder of labelled scans → a run folder; and going on with one."""

from __future__ import annotations

import json
import logging
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

import volunet
from volunet.errors import ConfigError, DatasetError, OutputError
from volunet.training import start
from volunet.training.planning.fit_to_time import TimedPlan

TINY = {"features": (2, 4), "patch_size": (12, 12, 12), "workers": 0}


def description(run):
    return json.loads((run / "run.json").read_text())


@pytest.mark.parametrize(
    ("cases", "fold", "validating"),
    [(1, "none", 0), (2, "1/2", 1), (3, "1/3", 1)],
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
    assert math.isnan(result.best_score) is (cases == 1)


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
        loss="tversky",
        norm="group",
        dropout=[0.0, 0.125, 0.25],
        l1=1e-6,
        l2=0.125,
        augmentation="light",
        patience=9,
        optimizer="sgd",
        learning_rate=0.125,
        precision="bfloat16",
        workers=0,
        seed=5,
        progress=lambda stage, done, figures: told.append((stage, done)),
    )
    plan = result.plan
    assert plan.network.features == (2, 3, 4)
    assert (plan.patch_size, plan.batch_size) == ((8, 9, 10), 3)
    assert plan.spacing_mm == (2.5, 1.5, 1.25)
    assert (plan.network.norm, plan.network.dropout) == ("group", (0.0, 0.125, 0.25))
    measures = {"l1": 1e-6, "l2": 0.125, "augmentation": "light", "patience": 9}
    assert plan.regularisation.model_dump() == measures
    assert (result.run, result.steps, result.interrupted) == (tmp_path / "run", 1, False)
    assert 0 <= result.best_score <= 1
    config = description(result.run)["config"]
    assert config == {
        "minutes": None, "epochs": 1, "fold": "2/2", "optimizer": "sgd", "learning_rate": 0.125,
        "loss": "tversky", "precision": "bfloat16", "accumulate": 1, "validation_cases": 24,
        "workers": 0, "seed": 5,
    }  # fmt: skip
    assert result.elapsed_s > description(result.run)["prepared_s"] > 0
    # All patches are of one batch, which is left out.
    assert result.waiting_share == 0.0
    assert description(result.run)["dataset"] == str(blobs)
    # Each stage is told to its end, in this order.
    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages == ["check the cases", "measure the cases", "prepare the cases", "train"]
    for stage in stages:
        shares = [done for name, done in told if name == stage]
        assert shares[-1] == 1.0
        assert min(shares) > 0


def test_sgd_has_its_own_weight_decay(blobs, tmp_path):
    keys = {"epochs": 1, "features": (2, 4), "patch_size": (8, 8, 8), "workers": 0}
    result = volunet.train(blobs, tmp_path / "run", optimizer="sgd", **keys)
    assert result.plan.regularisation.l2 == 3e-5


def test_what_is_not_given_is_left_to_the_rules(blob_run):
    plan = json.loads((blob_run / "plan.json").read_text())
    assert plan["regularisation"] == {
        "l1": 0.0, "l2": 0.01, "augmentation": "strong", "patience": 0,
    }  # fmt: skip
    assert (plan["network"]["norm"], plan["network"]["dropout"]) == ("batch", 0.0)
    assert (plan["members"], plan["batch_size"]) == (1, 2)
    run = description(blob_run)
    assert (run["config"]["loss"], run["config"]["precision"]) == ("dice_cross_entropy", "float32")
    assert (run["is_settled"], run["asked"]["fold"], run["asked"]["batch_size"]) == (
        True,
        None,
        None,
    )


def test_bagging(blobs, tmp_path):
    told = []
    result = volunet.train(
        blobs,
        tmp_path / "run",
        epochs=1,
        fold="all/2",
        progress=lambda stage, done, figures: told.append((stage, done)),
        **TINY,
    )
    assert result.plan.members == 2
    # Two cases train each: a step.
    assert result.steps == 2
    assert 0 <= result.best_score <= 1
    members = [tmp_path / "run" / name for name in ("fold_1", "fold_2")]
    validated = [description(member)["validation"] for member in members]
    assert sorted(validated[0] + validated[1]) == ["blob_0", "blob_1", "blob_2", "blob_3"]
    weights = [(member / "weights.safetensors").read_bytes() for member in members]
    assert weights[0] != weights[1]
    # One cache for all of them.
    assert (tmp_path / "run" / "cache").is_dir()
    assert not any((member / "cache").exists() for member in members)
    shares = [done for stage, done in told if stage == "train"]
    assert shares == pytest.approx([0.5, 0.5, 1.0, 1.0])


def test_minutes_choose_what_fits_them(blobs, tmp_path, monkeypatch):
    asked = []

    def choose(replan, config, left_s, **choices):
        asked.append((left_s, choices))
        plan = replan(8, 0.001)
        return TimedPlan(plan, replace(config, precision="bfloat16"), 10)

    monkeypatch.setattr(start, "fit_to_time", choose)
    result = volunet.train(blobs, tmp_path / "run", minutes=0.05, workers=0)
    ((left_s, choices),) = asked
    # Three seconds, but for the reading.
    assert 0 < left_s < 3
    assert set(choices.values()) == {True}
    assert result.plan.network.features[0] == 8
    assert description(result.run)["config"]["precision"] == "bfloat16"
    assert result.steps > 0


def test_batch_size_auto(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(
        start, "choose_batch_size", lambda *_, **__: SimpleNamespace(batch_size=1, accumulate=3)
    )
    result = volunet.train(blobs, tmp_path / "run", epochs=2, batch_size="auto", **TINY)
    # Three cases are one step of three batches.
    assert result.steps == 2
    assert result.plan.batch_size == 1
    assert description(result.run)["config"]["accumulate"] == 3


def test_resume_takes_another_budget(blobs, blob_run, tmp_path):
    run = shutil.copytree(blob_run, tmp_path / "run")
    result = volunet.train(blobs, run, epochs=4, resume=True)
    # Two epochs of two steps were done.
    assert result.steps == 8
    again = volunet.train(blobs, run, epochs=4, resume=True)
    assert again.steps == 8
    assert again.best_score == result.best_score


def test_resume_with_another_data_set(write_blobs, blob_run, tmp_path):
    other = write_blobs(tmp_path / "other", prefix="ball")
    run = shutil.copytree(blob_run, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    message = (
        r"run: the run was started with 4 cases that .*other does not have, the first blob_.*\n"
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
        ({"epochs": 1, "preset": "large"}, ConfigError, r"--preset large: not allowed\.\n"),
        ({"epochs": 1, "fold": "0/5"}, ConfigError, r"fold: 0/5\.\nA fold is K/N"),
        ({"epochs": 1, "fold": "third"}, ConfigError, r"fold: 'third'\.\n"),
        ({"epochs": 1, "fold": "1/5"}, DatasetError, r"fold: 1/5 of 4 cases\.\n.*at most 4 folds"),
        ({"epochs": 1, "batch_size": 0}, ConfigError, r"--batch-size 0: not allowed\.\n"),
        ({"epochs": 1, "patch_size": (8, 0, 8)}, ConfigError, r"--patch-size 0: not allowed\.\n"),
        ({"epochs": 1, "fold": "all/1"}, ConfigError, r"fold: '1/1'\.\n.*all or all/N trains"),
        ({"epochs": 1, "fold": "all/5"}, DatasetError, r"fold: 1/5 of 4 cases\.\n"),
        ({"epochs": 1, "loss": "hinge"}, ConfigError, r"--loss hinge: no such loss\.\n"),
        ({"epochs": 1, "precision": "half"}, ConfigError, r"--precision half: not allowed\.\n"),
        ({"epochs": 1, "dropout": 1.0}, ConfigError, r"--dropout 1\.0: not allowed\.\n"),
        ({"epochs": 1, "l1": -1.0}, ConfigError, r"--l1 -1\.0: not allowed\.\n"),
        ({"epochs": 1, "patience": -1}, ConfigError, r"--patience -1: not allowed\.\n"),
    ],
    ids=[
        "no-budget", "both", "preset", "fold", "fold-text", "folds", "batch", "patch", "bagging",
        "bagging-folds", "loss", "precision", "dropout", "l1", "patience",
    ],
)  # fmt: skip
def test_refusals(blobs, tmp_path, keys, error, message):
    with pytest.raises(error, match=message):
        volunet.train(blobs, tmp_path / "run", **keys)
    # Nothing was begun: the corrected call finds the folder empty.
    assert not list((tmp_path / "run").glob("*"))


def test_run_folder_is_not_overwritten(blobs, blob_run):
    before = sorted(blob_run.rglob("*"))
    with pytest.raises(OutputError, match=r"run: the folder is not empty: 9 entries"):
        volunet.train(blobs, blob_run, epochs=1, **TINY)
    assert sorted(blob_run.rglob("*")) == before
