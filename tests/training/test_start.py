"""From what was asked for to a planned run: splits, the clock, what is left to be measured."""

from __future__ import annotations

import logging
import math
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.layouts import read_dataset
from volunet.datasets.splits import Fold
from volunet.errors import ConfigError, DatasetError, OutputError, TrainingError
from volunet.requests import TrainingRequest
from volunet.tasks.segmentation.annotations import LabelMaps
from volunet.training import start
from volunet.training.planning.fit_to_time import TimedPlan
from volunet.training.record.run_folder import read_run
from volunet.training.start import (
    LONGEST_PREPARATION,
    default_fold,
    prepare_run,
    resume_run,
    split_names,
    start_run,
    time_left,
)

TINY = {"features": (2, 4), "patch_size": (12, 12, 12)}
FREE = dict.fromkeys(TINY)


def cases_of(count):
    cases = tuple(Case(f"c{index}", (Path("i"),), Path("l")) for index in range(count))
    return DataSet("Some", Path("d"), ("CT",), LabelMaps({0: "background", 1: "a"}), cases)


def budget_of(asked):
    return {} if "minutes" in asked else {"epochs": 1}


@pytest.fixture
def dataset(blobs):
    return read_dataset(blobs)


@pytest.fixture
def begin(dataset, tmp_path):
    """Start a run on `blobs`, of one epoch unless a budget is given, and of `TINY`."""

    def run(*, dataset=dataset, begun=None, counted=lambda *_: None, **asked):
        return start_run(
            dataset,
            tmp_path / "run",
            TrainingRequest.of(**(budget_of(asked) | TINY | asked)),
            begun=time.monotonic() if begun is None else begun,
            counted=counted,
        )

    return run


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(start, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def timed(monkeypatch):
    """Instead of measured steps: a choice that the test sees, and what it was asked."""
    asked = []

    def choose(replan, config, left_s, **choices):
        asked.append((left_s, choices))
        plan = replan(24, 0.125)
        return TimedPlan(plan, replace(config, precision="bfloat16", validation_cases=4), 10)

    monkeypatch.setattr(start, "fit_to_time", choose)
    return asked


@pytest.mark.parametrize(
    ("count", "fold", "said"),
    [
        (1, "none", "Some: one case, which trains; nothing validates."),
        (2, "1/2", "Some: 2 cases, so fold 1 of 2 validates."),
        (4, "1/4", "Some: 4 cases, so fold 1 of 4 validates."),
        (5, "1/5", None),
        (60, "1/5", None),
    ],
)
def test_default_fold(caplog, count, fold, said):
    with caplog.at_level(logging.WARNING):
        assert default_fold(cases_of(count)) == fold
    assert caplog.messages == ([] if said is None else [said])


def test_names_of_a_fold():
    dataset = cases_of(6)
    training, validation = split_names(dataset, Fold(2, 3))
    assert (len(training), len(validation)) == (4, 2)
    assert sorted(training + validation) == [case.name for case in dataset.cases]
    assert split_names(dataset, Fold(1, 1)) == (tuple(f"c{index}" for index in range(6)), ())
    with pytest.raises(DatasetError, match="at most 6 folds"):
        split_names(dataset, Fold(1, 7))


def test_time_that_is_left(clock):
    assert LONGEST_PREPARATION == 0.8
    assert time_left(1.0, 988.0, "Wait") == pytest.approx(48.0)
    assert time_left(1.0, 953.0, "Wait") == pytest.approx(13.0)
    message = (
        r"--minutes 1: reading and preparing the cases took 0\.8 minutes\.\n"
        r"They may take 80% of the minutes; the rest trains\.\n"
        r"Wait, such as --minutes 4\."
    )
    with pytest.raises(TrainingError, match=message):
        time_left(1.0, 951.0, "Wait")


def test_a_run_in_epochs_is_the_rules_own(begin, dataset, timed):
    counted = []
    run = begin(counted=lambda *word: counted.append(word))
    assert read_run(run.folder) == run
    assert (run.config.fold, run.plan.members) == ("1/4", 1)
    assert (len(run.training), len(run.validation)) == (3, 1)
    assert sorted(run.training + run.validation) == [f"blob_{index}" for index in range(4)]
    assert run.dataset == str(dataset.root)
    # Nothing is measured, and nothing is open.
    assert timed == []
    assert (run.config.precision, run.config.accumulate) == ("float32", 1)
    assert (run.asked, run.is_settled) == (TrainingRequest(epochs=1, **TINY), True)
    assert run.plan.network.features == (2, 4)
    stages = ("check the cases", "measure the cases", "prepare the cases")
    assert counted == [(stage, done, 4) for stage in stages for done in (1, 2, 3, 4)]
    prepared = sorted(path.name for path in (run.folder / "cache").glob("*.image.npy"))
    assert prepared == [f"blob_{index}.image.npy" for index in range(4)]


@pytest.mark.parametrize(
    ("asked", "choices"),
    [
        ({}, {"choose_network": False, "choose_batch": True, "choose_precision": True}),
        (
            {**FREE, "batch_size": 3},
            {"choose_network": True, "choose_batch": False, "choose_precision": True},
        ),
        (
            {**FREE, "precision": "float32"},
            {"choose_network": True, "choose_batch": True, "choose_precision": False},
        ),
    ],
    ids=["network", "batch", "precision"],
)
def test_what_is_given_is_not_chosen(begin, timed, asked, choices):
    run = begin(minutes=10, **asked)
    ((left_s, chosen),) = timed
    assert chosen == choices
    assert 0 < left_s < 600
    assert run.plan.batch_size == asked.get("batch_size", 2)
    assert (run.config.precision, run.config.validation_cases) == ("bfloat16", 4)
    # The width and the patch's share count unless features and patch were given.
    assert run.plan.network.features[0] == (2 if "features" not in asked else 24)
    assert read_run(run.folder) == run


def test_members_share_the_time_that_is_left(begin, timed, clock):
    run = begin(minutes=1, begun=988.0, fold="all/3")
    assert [left_s for left_s, _ in timed] == [pytest.approx(16.0)]
    assert run.prepared_s == pytest.approx(12.0)
    assert (run.plan.members, run.config.fold) == (3, "all/3")
    # Each member splits the cases by itself.
    assert run.training == tuple(f"blob_{index}" for index in range(4))
    assert run.validation == ()


@pytest.mark.parametrize(
    ("fold", "members", "training"), [("all", 4, 4), ("none", 1, 4), ("2/2", 1, 2)]
)
def test_folds(begin, fold, members, training):
    run = begin(fold=fold)
    assert (run.plan.members, len(run.training)) == (members, training)
    assert run.config.fold == fold


@pytest.mark.parametrize("fold", ["all", "1/4"])
def test_batch_size_auto(begin, monkeypatch, fold):
    asked = []

    def choose(plan, config, cases, *, patches_left):
        asked.append((plan.members, [case.name for case in cases], patches_left))
        return SimpleNamespace(batch_size=4, accumulate=8)

    monkeypatch.setattr(start, "choose_batch_size", choose)
    run = begin(fold=fold, batch_size="auto")
    # Of a member's network, and on training cases alone.
    assert asked == [(1, list(run.training), math.inf)]
    assert (run.plan.batch_size, run.config.accumulate) == (4, 8)
    assert run.plan.members == (4 if fold == "all" else 1)


@pytest.mark.parametrize(
    ("fold", "error", "message"),
    [
        ("third", ConfigError, r"fold: 'third'\.\n"),
        ("all/9", DatasetError, r"fold: 1/9 of 4 cases\.\n"),
        ("3/9", DatasetError, r"fold: 3/9 of 4 cases\.\n"),
    ],
)
def test_a_fold_that_does_not_fit(begin, tmp_path, fold, error, message):
    with pytest.raises(error, match=message):
        begin(fold=fold)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"fold": "third"}, r"fold: 'third'\.\n"),
        ({"fold": "3/9"}, r"fold: 3/9 of 4 cases\.\n"),
        ({"loss": "hinge"}, r"--loss hinge: no such loss\.\nChoices of the task segmentation are"),
        ({"dropout": (0.1,) * 3}, r"--dropout: 3 numbers for 2 levels\.\n"),
    ],
    ids=["fold", "folds", "loss", "levels"],
)
def test_what_no_case_makes_right_shows_before_they_are_read(begin, tmp_path, asked, message):
    counted = []
    with pytest.raises((ConfigError, DatasetError), match=message):
        begin(counted=lambda *word: counted.append(word), **asked)
    assert counted == []
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_something_shows_before_the_cases_are_read(begin, tmp_path):
    counted = []
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    with pytest.raises(OutputError, match="not empty: 1 entry, the first is notes"):
        begin(counted=lambda *word: counted.append(word))
    assert counted == []


def test_a_start_that_was_killed_before_its_run_was_written_is_begun_anew(begin, tmp_path):
    folder = tmp_path / "run"
    begin()
    (folder / "run.json").unlink()
    for entry in set(folder.iterdir()) - {folder / "plan.json"}:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    begin()
    assert read_run(folder).folder == folder
    # A file of that name that is no plan is somebody else's.
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "plan.json").write_text("{}")
    with pytest.raises(OutputError, match=r"not empty: 1 entry, the first is plan\.json"):
        begin()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"patch_size": (2, 2, 2), "batch_size": 1},
            r"--batch-size 1: a patch of 2×2×2 voxels, of which the deepest level sees a single "
            r"one\.\nBatch norm needs two values.*\nGive --batch-size 2, a larger --patch-size",
        ),
        (
            {"patch_size": (2, 2, 2), "norm": "instance"},
            r"--norm instance: a patch of 2×2×2 voxels.*\nInstance norm needs two values.*\n"
            r"Give a larger --patch-size",
        ),
    ],
    ids=["batch", "instance"],
)
def test_norms_that_have_a_single_value(begin, keys, message):
    with pytest.raises(ConfigError, match=message):
        begin(**keys)


def test_reading_ends_when_it_has_taken_the_time(begin, tmp_path, clock):
    counted = []

    def slow(stage, done, total):
        counted.append((stage, done))
        clock[0] += 20.0

    with pytest.raises(TrainingError, match=r"took 1\.0 minutes.*\n.*\nGive it more time, such as "
                       r"--minutes 5\."):  # fmt: skip
        begin(minutes=1, begun=1000.0, counted=slow)
    # After 60 s of 60, of which 48 may go: not all four are checked.
    assert counted == [("check the cases", 1), ("check the cases", 2), ("check the cases", 3)]
    assert list((tmp_path / "run").iterdir()) == []


def test_preparing_that_took_the_time_is_kept(begin, tmp_path, timed, clock):
    def slow(stage, done, total):
        clock[0] += 17.0 if stage == "prepare the cases" else 0.0

    with pytest.raises(TrainingError, match=r"--resume and more time, such as --minutes 4\."):
        begin(minutes=1, begun=998.0, counted=slow, precision="float32", **FREE)
    # Of 48 s that may go 53 have, after the third of four.
    assert len(list((tmp_path / "run" / "cache").glob("*.image.npy"))) == 3
    assert read_run(tmp_path / "run").is_settled is False
    assert timed == []


def test_a_run_that_is_not_planned_yet_is_planned_on(begin, dataset, tmp_path, timed, clock):
    """Killed while it prepared: what was asked for is there still, and the time that had gone."""

    def die(stage, done, total):
        if stage == "prepare the cases":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin(minutes=1, begun=990.0, counted=die, fold="1/2", batch_size=3)
    folder = tmp_path / "run"
    killed = read_run(folder)
    assert killed.asked == TrainingRequest(minutes=1, fold="1/2", batch_size=3, **TINY)
    assert killed.is_settled is False
    assert killed.prepared_s == pytest.approx(10.0)
    clock[0] = 5000.0
    run = resume_run(
        dataset,
        folder,
        minutes=None,
        epochs=None,
        workers=None,
        begun=4995.0,
        counted=lambda *_: None,
    )
    # 60 s − 10 s of before − 5 s of now.
    assert [left_s for left_s, _ in timed] == [pytest.approx(45.0)]
    assert read_run(folder) == run
    assert run.is_settled is True
    assert (run.plan.batch_size, run.config.precision) == (3, "bfloat16")
    # The fit counts from its own beginning; what had gone before that stays as it was.
    assert run.prepared_s == pytest.approx(10.0)


def test_resume_takes_another_budget(begin, dataset, timed):
    first = begin()
    quiet = {"workers": None, "begun": time.monotonic(), "counted": lambda *_: None}
    again = resume_run(dataset, first.folder, minutes=None, epochs=None, **quiet)
    assert again == first
    longer = resume_run(dataset, first.folder, minutes=None, epochs=7, **quiet)
    assert (longer.config.epochs, longer.config.minutes) == (7, None)
    assert longer == replace(first, config=replace(first.config, epochs=7))
    timely = resume_run(dataset, first.folder, minutes=2.5, epochs=None, **quiet)
    assert (timely.config.epochs, timely.config.minutes) == (None, 2.5)
    assert read_run(first.folder) == timely
    # What is planned stays planned.
    assert timed == []
    with pytest.raises(ConfigError, match="both budgets"):
        resume_run(dataset, first.folder, minutes=1.0, epochs=1, **quiet)


def test_resume_takes_another_number_of_workers(begin, dataset):
    first = begin()
    quiet = {"minutes": None, "epochs": None, "begun": 0.0, "counted": lambda *_: None}
    alone = resume_run(dataset, first.folder, workers=0, **quiet)
    assert alone == replace(first, config=replace(first.config, workers=0))
    assert read_run(first.folder) == alone
    assert resume_run(dataset, first.folder, workers=None, **quiet) == alone


def test_prepared_cases_by_name(begin, dataset):
    run = begin()
    found = prepare_run(dataset, run, ["blob_3", "blob_0"], lambda *_: None)
    assert [case.name for case in found] == ["blob_3", "blob_0"]
    with pytest.raises(ConfigError, match=r"does not have, the first gone\.\n"):
        prepare_run(dataset, run, ["blob_0", "gone"], lambda *_: None)
