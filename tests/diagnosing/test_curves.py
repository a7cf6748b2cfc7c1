"""What the curves say, each fault beside a healthy record and one that only comes near it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from volunet.datasets.cache import PreparedCase
from volunet.diagnosing import curves
from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.curves import (
    divergence,
    plateau,
    spent_share,
    stopped_too_early,
    underfitting,
)

TWENTY = range(20)
RISING = [0.4, 0.6, 0.7, 0.75, 0.8]
FALLING = [0.4, 0.6, 0.8, 0.79, 0.8]
ENDED = "2 validations without a better Dice ended it, which is too few."


@pytest.mark.parametrize("check", [divergence, plateau, underfitting, stopped_too_early])
def test_healthy(make_record, check):
    assert check(make_record()) is None


@pytest.mark.parametrize("name", ["train_loss", "gradient_norm"])
def test_no_number(make_record, name):
    finding = divergence(make_record(metrics={name: [1.5, 1.2, math.nan]}))
    assert (finding.certainty, finding.where) == ("high", "step 60")
    assert finding.evidence == f"{name.replace('_', ' ')} is no finite number at step 60."
    assert finding.change == (
        "volunet train scans -o NEW --minutes 2 --learning-rate 0.0003 --precision float32"
    )


@pytest.fixture
def with_an_infinite_case(make_record):
    """A record whose loss is no number; of its three prepared cases the second has an infinity."""
    record = make_record(metrics={"train_loss": [1.5, math.nan]}, training=3)
    cache = record.run.folder / "cache"
    cache.mkdir(parents=True)
    for name in record.run.training:
        image = np.full((1, 2, 2, 2), np.inf if name == "case_1" else 1.0, np.float32)
        for part, array in (("image", image), ("target", image[0]), ("places", image[0])):
            np.save(cache / f"{name}.{part}.npy", array)
        assert PreparedCase(name, cache).is_whole
    return record


def test_the_case_that_is_no_number_is_named(with_an_infinite_case):
    finding = divergence(with_an_infinite_case)
    assert finding.cases == ("case_1",)
    assert finding.evidence == (
        "train loss is no finite number at step 40. The prepared images of case_1 hold values that "
        "are not finite, or are damaged (3 of 3 were looked at)."
    )
    assert finding.change == "volunet doctor scans"


def test_prepared_images_are_read_for_some_seconds_only(with_an_infinite_case, monkeypatch):
    monkeypatch.setattr(curves, "READING_S", 0.0)
    finding = divergence(with_an_infinite_case)
    assert finding.cases == ()
    assert finding.evidence.endswith(
        "No such value is in the prepared images that were looked at, 0 of 3."
    )
    assert "--precision float32" in finding.change


@pytest.mark.parametrize(
    ("end", "certainty"), [(2.5, "high"), (1.2, "medium"), (0.85, None)], ids=str
)
def test_loss_that_rises(make_record, end, certainty):
    losses = [2.0] * 4 + [1.5] * 4 + [0.8] * 8 + [end] * 4
    finding = divergence(make_record(metrics={"train_loss": losses}))
    assert (finding and finding.certainty) == certainty
    if finding:
        assert f"0.8 at its lowest fifth and {end:.3g} in the last" in finding.evidence


def test_few_rows_say_nothing(make_record):
    record = make_record(metrics={"train_loss": [2.0, 1.0, 3.0]})
    for check in (divergence, plateau, stopped_too_early):
        assert check(record) == LeftOut("3 rows with a loss, 6 are needed")


@pytest.mark.parametrize(
    ("dice", "certainty"), [(0.2, "medium"), (0.7, "low"), (0.95, None), (None, "low")], ids=str
)
def test_plateau(make_record, dice, certainty):
    losses = [2.0, 1.5, *([1.2] * 18)]
    metrics = {"train_loss": losses, "train_dice": dice and [dice] * 5}
    finding = plateau(make_record(metrics=metrics))
    assert (finding and finding.certainty) == certainty
    if finding:
        assert "from the second fifth of the steps to the last it went from 1.2 to 1.2" in (
            finding.evidence
        )


def test_a_loss_that_falls_slowly_is_no_plateau(make_record):
    losses = [2.0 - 0.01 * row for row in TWENTY]
    assert plateau(make_record(metrics={"train_loss": losses, "train_dice": [0.3] * 5})) is None


@pytest.mark.parametrize(
    ("dice", "found"),
    [([0.2, 0.3, 0.31, 0.3, 0.31], True), ([0.1, 0.15, 0.2, 0.3, 0.4], False), ([0.6] * 5, False)],
    ids=["flat", "rising", "fitted"],
)
def test_underfitting(make_record, dice, found):
    finding = underfitting(make_record(metrics={"train_dice": dice}))
    assert (finding is not None) is found
    if found:
        assert finding.certainty == "medium"
        assert finding.evidence.startswith("Dice 0.30 on training cases at the end, +0.000 over")


@pytest.mark.parametrize(
    ("keys", "change"),
    [
        ({"dropout": (0.0, 0.5)}, "--dropout 0"),
        ({"l1": 1e-3}, "--l1 0"),
        ({"features": (8, 16)}, "--features 16,32"),
        ({"features": (32, 64)}, "--learning-rate 0.001"),
    ],
    ids=["dropout", "l1", "width", "rate"],
)
def test_what_holds_it_down(make_record, keys, change):
    finding = underfitting(make_record(metrics={"train_dice": [0.2] * 5}, **keys))
    assert finding.change.endswith(change)


def test_a_validation_or_two_say_nothing(make_record):
    answer = underfitting(make_record(metrics={"train_dice": [0.2, 0.2]}))
    assert answer == LeftOut("2 validations, 3 are needed")


@pytest.mark.parametrize(
    ("dice", "certainty"),
    [
        ([0.1, 0.2, 0.3, 0.5, 0.6], "medium"),
        ([0.4, 0.6, 0.7, 0.71, 0.72], "low"),
        ([0.6, 0.7, 0.72, 0.72, 0.725], None),
    ],
    ids=["much", "a-little", "none"],
)
def test_budget_too_short(make_record, dice, certainty):
    finding = stopped_too_early(make_record(metrics={"val_dice": dice}))
    assert (finding and finding.certainty) == certainty
    if finding:
        assert f"changed by {dice[-1] - dice[2]:+.3f} over the last third" in finding.evidence
        assert finding.change == "volunet train scans -o NEW --minutes 6"


def test_budget_in_epochs(make_record):
    finding = stopped_too_early(make_record(metrics={"val_dice": [0.1, 0.2, 0.3, 0.5]}, epochs=4))
    assert finding.change == "volunet train scans -o NEW --epochs 12"


@pytest.mark.parametrize(("fall", "found"), [(0.03, True), (0.005, False)])
def test_without_validation_the_loss_says_it(make_record, fall, found):
    losses = [2.0 * (1 - fall) ** row for row in TWENTY]
    record = make_record(metrics={"train_loss": losses, "val_dice": None})
    assert (stopped_too_early(record) is not None) is found


@pytest.mark.parametrize(
    ("spent", "patience", "dice", "certainty", "cause"),
    [
        (0.3, 0, RISING, "high", "It was interrupted."),
        (0.7, 0, RISING, "medium", "It was interrupted."),
        (0.3, 2, RISING, "high", "It was interrupted."),
        (0.3, 2, FALLING, "high", ENDED),
        (0.3, 3, FALLING, "high", "It was interrupted."),
    ],
    ids=["early", "late", "before-patience", "by-patience", "within-patience"],
)
def test_cut_short(make_record, spent, patience, dice, certainty, cause):
    rates = [3e-3 * 0.5 * (1 + math.cos(math.pi * spent * row / 19)) for row in TWENTY]
    losses = [2.0 - 0.05 * row for row in TWENTY]
    metrics = {"learning_rate": rates, "train_loss": losses, "val_dice": dice}
    record = make_record(metrics=metrics, patience=patience)
    assert spent_share(record) == pytest.approx(spent)
    finding = stopped_too_early(record)
    assert finding.certainty == certainty
    assert f"it ended after {spent:.0%} of its learning rate's schedule" in finding.evidence
    assert finding.cause == cause
    resumed = f"volunet train scans -o {record.run.folder} --resume"
    anew = "volunet train scans -o NEW --minutes 2 --patience 10"
    assert finding.change == (resumed if cause == "It was interrupted." else anew)


def test_a_member_that_was_cut_short(make_record):
    """One goes on with the whole run, wherever it lies."""
    rates = [3e-3 * 0.5 * (1 + math.cos(math.pi * 0.3 * row / 19)) for row in TWENTY]
    losses = [2.0 - 0.05 * row for row in TWENTY]
    record = make_record(metrics={"learning_rate": rates, "train_loss": losses})
    whole = dataclasses.replace(record.run, dataset="my scans", folder=Path("my runs/a"))
    finding = stopped_too_early(dataclasses.replace(record, whole=whole))
    assert finding.change == "volunet train 'my scans' -o 'my runs/a' --resume"


def test_early_stopping_that_was_right(make_record):
    metrics = {"learning_rate": [2e-3] * 20, "train_loss": [1.0] * 20, "val_dice": [0.7] * 5}
    assert stopped_too_early(make_record(metrics=metrics, patience=2)) is None
