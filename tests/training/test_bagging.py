"""Bagging: each member's cases and time, and what is told of all of them."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from volunet.datasets.layouts import read_dataset
from volunet.requests import TrainingRequest
from volunet.training import bagging
from volunet.training.bagging import SHORTEST_S, fit_run
from volunet.training.config import TrainingConfig
from volunet.training.fitting.fit import FitResult
from volunet.training.record.run_folder import Run, read_run


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(bagging, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def members(monkeypatch):
    """Fits that take what the test says, and what each was asked for."""
    asked = []

    def of(*results):
        def fit(run, training, validation, **keys):
            asked.append((run, training, validation, keys))
            return results[len(asked) - 1]

        monkeypatch.setattr(bagging, "fit", fit)
        return asked

    return of


@pytest.fixture
def start(blobs, blob_plan, tmp_path):
    """Fit a run on the four blobs; a prepared case is its name."""

    def run(members=2, *, fold=None, begun=1000.0, resume=False, report=None, **keys):
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        names = tuple(f"blob_{index}" for index in range(4))
        prepared_s = keys.pop("prepared_s", 0.0)
        description = Run(
            folder,
            blob_plan.model_copy(update={"members": members}),
            TrainingConfig(**{"fold": fold or f"all/{members}", "seed": 5} | keys),
            "blobs",
            names,
            (),
            prepared_s,
        )
        result = fit_run(
            description,
            read_dataset(blobs),
            list,
            begun=begun,
            resume=resume,
            report=report,
        )
        return folder, result

    return run


def result_of(elapsed_s=10.0, steps=100, dice=0.5, waiting=0.1, interrupted=False):
    return FitResult(steps, dice, elapsed_s, waiting, interrupted)


def test_one_network_is_fitted_as_it_is(start, members):
    asked = members(result_of(steps=7))

    def report(done, figures):
        pass

    folder, result = start(1, fold="none", epochs=3, begun=77.0, resume=True, report=report)
    assert result == result_of(steps=7)
    ((run, training, validation, keys),) = asked
    assert (run.folder, run.config.seed) == (folder, 5)
    assert (training, validation) == ([f"blob_{index}" for index in range(4)], [])
    assert keys == {"begun": 77.0, "resume": True, "report": report}


def test_each_member_has_a_fold(start, members, clock):
    asked = members(result_of(), result_of(), result_of())
    folder, _ = start(3, epochs=2)
    assert len(asked) == 3
    validated = []
    for number, (run, training, validation, keys) in enumerate(asked, start=1):
        assert run.folder == folder / f"fold_{number}"
        assert (run.config.fold, run.plan.members) == (f"{number}/3", 1)
        # A run folder of its own.
        assert read_run(run.folder) == run
        assert (run.training, run.validation) == (tuple(training), tuple(validation))
        assert not set(training) & set(validation)
        assert len(training) + len(validation) == 4
        validated += validation
        # Epochs are each member's, and each begins from other weights.
        assert (run.config.epochs, run.config.minutes) == (2, None)
        assert run.config.seed == 4 + number
        assert keys == {"begun": 1000.0, "resume": False, "report": None}
    assert sorted(validated) == [f"blob_{index}" for index in range(4)]


def test_cases_that_the_run_left_out_stay_out(start, members, clock, blobs, blob_plan, tmp_path):
    asked = members(result_of(), result_of())
    (tmp_path / "run").mkdir()
    names = ("blob_0", "blob_1", "blob_3")
    plan = blob_plan.model_copy(update={"members": 2})
    config = TrainingConfig(epochs=1, fold="all/2")
    run = Run(tmp_path / "run", plan, config, "blobs", names, ())
    fit_run(run, read_dataset(blobs), list, begun=1000.0, resume=False, report=None)
    for _, training, validation, _ in asked:
        assert sorted(training + validation) == sorted(names)


def test_members_share_the_minutes_that_are_left(start, members, clock):
    # The first takes 20 s more than its share, the second 30 s less.
    asked = members(result_of(200.0), result_of(140.0), result_of(200.0))
    clock[0] = 1060.0
    _, result = start(3, minutes=10)
    # 600 s − 60 s of preparing, a third; then half of 340 s; then the last 200 s.
    assert [60 * run.config.minutes for run, *_ in asked] == pytest.approx([180.0, 170.0, 200.0])
    assert result.elapsed_s == pytest.approx(600.0)


def test_a_member_without_time_makes_its_step(start, members, clock):
    asked = members(result_of(700.0), result_of(1.0))
    start(2, minutes=10)
    assert [60 * run.config.minutes for run, *_ in asked] == pytest.approx([300.0, SHORTEST_S])


def test_each_members_clock_begins_before_its_cases_are_prepared(
    members, clock, blobs, blob_plan, tmp_path
):
    asked = members(result_of(), result_of())

    def prepare(names):
        clock[0] += 7.0
        return list(names)

    plan = blob_plan.model_copy(update={"members": 2})
    config = TrainingConfig(minutes=1, fold="all/2")
    names = tuple(f"blob_{index}" for index in range(4))
    run = Run(tmp_path, plan, config, "blobs", names, (), asked=TrainingRequest(fold="all/2"))
    fit_run(run, read_dataset(blobs), prepare, begun=1000.0, resume=False, report=None)
    assert [keys["begun"] for *_, keys in asked] == [1000.0, 1014.0]
    assert [member.asked for member, *_ in asked] == [run.asked] * 2


def test_seeds_begin_anew_at_their_end(start, members, clock):
    asked = members(result_of(), result_of())
    start(2, epochs=1, seed=2**32 - 1)
    assert [run.config.seed for run, *_ in asked] == [2**32 - 1, 0]


def test_what_all_of_them_came_to(start, members, clock):
    members(
        result_of(10.0, 100, 0.5, 0.1),
        result_of(20.0, 50, math.nan, 0.4),
        result_of(5.0, 1, 0.7, 0),
    )
    clock[0] = 1003.0
    _, result = start(3, epochs=1)
    assert (result.steps, result.interrupted) == (151, False)
    # Of members without validation nothing is known.
    assert result.best_score == pytest.approx(0.6)
    assert result.waiting_share == pytest.approx(0.5 / 3)
    assert result.elapsed_s == pytest.approx(38.0)


def test_without_any_validation(start, members, clock):
    members(result_of(dice=math.nan), result_of(dice=math.nan))
    assert math.isnan(start(2, epochs=1)[1].best_score)


def test_ctrl_c_ends_all_of_them(start, members, clock):
    asked = members(result_of(), result_of(interrupted=True), result_of())
    folder, result = start(3, epochs=1)
    assert result.interrupted is True
    assert len(asked) == 2
    assert not (folder / "fold_3").exists()


def test_resumed_members(start, members, clock, tmp_path):
    for number in (1, 2):
        (tmp_path / "run" / f"fold_{number}").mkdir(parents=True)
    (tmp_path / "run" / "fold_1" / "last.ckpt").touch()
    asked = members(result_of(180.0), result_of(180.0), result_of(180.0))
    clock[0] = 1004.0
    start(3, minutes=10, resume=True, prepared_s=56.0)
    # The second was begun and has no checkpoint, the third was not begun.
    assert [keys["resume"] for *_, keys in asked] == [True, False, False]
    # What went before the interruption and since then is spent.
    assert [60 * run.config.minutes for run, *_ in asked] == pytest.approx([180.0, 180.0, 180.0])


def test_progress_is_a_share_of_all(start, members, clock):
    told = []
    asked = members(*[result_of()] * 4)
    start(4, epochs=1, report=lambda done, figures: told.append((done, figures)))
    for *_, keys in asked:
        keys["report"](0.5, {"train_loss": 1.0})
    assert told == [(share, {"train_loss": 1.0}) for share in (0.125, 0.375, 0.625, 0.875)]


def test_only_the_first_process_writes(start, members, clock, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    members(result_of(), result_of())
    folder, _ = start(2, epochs=1)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
