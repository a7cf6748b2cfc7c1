"""What validation says: overfitting, and validation that cannot be trusted."""

from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.generalisation import no_validation, noisy_validation, overfitting


@pytest.mark.parametrize("check", [overfitting, noisy_validation, no_validation])
def test_healthy(make_record, check):
    assert check(make_record()) is None


@pytest.mark.parametrize(
    ("validation", "loss", "certainty"),
    [
        (0.6, [1.0, 0.8, 0.8], "high"),
        (0.76, [1.0, 0.8, 0.8], "medium"),
        (0.76, [1.0, 0.8, 1.2], "medium"),
        (0.83, [1.0, 0.8, 1.2], None),
    ],
    ids=["wide", "medium", "rising-loss", "chance"],
)
def test_overfitting(make_record, validation, loss, certainty):
    """12 training and 8 validation cases: a gap of 0.09 may be chance."""
    metrics = {"train_dice": [0.4, 0.9, 0.9, 0.9], "val_dice": [0.38, *[validation] * 3]}
    finding = overfitting(make_record(metrics={**metrics, "val_loss": loss}))
    assert (finding and finding.certainty) == certainty
    if finding:
        assert f"a gap of {0.9 - validation:.2f} over the last validations (+0.02" in (
            finding.evidence
        )
        assert finding.evidence.endswith(
            "with so many cases up to 0.09 may be chance, as the Dice's deviation from case to "
            "case is 0.10 or less."
        )
        assert ("the validation loss rose" in finding.evidence) is (loss[-1] > 1)


@pytest.mark.parametrize(
    ("validation", "loss", "certainty"),
    [
        (0.83, [1.0, 0.8, 0.8], "medium"),
        (0.83, [1.0, 0.8, 1.2], "high"),
        (0.87, [1.0, 0.8, 1.2], None),
    ],
    ids=["medium", "rising-loss", "small"],
)
def test_a_deviation_that_was_measured(make_record, healthy_probes, validation, loss, certainty):
    """0.026 from case to case: 0.02 may be chance, and 0.05 is not worth a word."""
    metrics = {"train_dice": [0.4, 0.9, 0.9, 0.9], "val_dice": [0.38, *[validation] * 3]}
    record = make_record(metrics={**metrics, "val_loss": loss}, probed=healthy_probes)
    finding = overfitting(record)
    assert (finding and finding.certainty) == certainty
    if finding:
        assert finding.evidence.endswith("as the Dice's deviation from case to case is 0.03.")


def test_fewer_cases_need_a_wider_gap(make_record):
    metrics = {"train_dice": [0.9] * 4, "val_dice": [0.7] * 4}
    assert overfitting(make_record(metrics=metrics)).certainty == "high"
    assert overfitting(make_record(metrics=metrics, training=3, validation=1)) is None
    # Only so many are looked at.
    assert overfitting(make_record(metrics=metrics, validation_cases=1)) is None


@pytest.mark.parametrize(
    ("keys", "change", "cause"),
    [
        (
            {"augmentation": "none"},
            "--augmentation strong --dropout 0.2",
            "12 training cases are few, without augmentation and dropout.",
        ),
        (
            {"training": 200, "augmentation": "moderate", "dropout": 0.1},
            "--dropout 0.1 --augmentation strong",
            "200 training cases.",
        ),
        ({"dropout": (0.0, 0.2)}, "--dropout 0,0.2 --fold all", "12 training cases are few."),
    ],
    ids=["none-on", "dropout-on", "all-on"],
)
def test_the_measures_that_are_not_on_yet(make_record, keys, change, cause):
    metrics = {"train_dice": [0.9] * 4, "val_dice": [0.5] * 4}
    finding = overfitting(make_record(metrics=metrics, **keys))
    assert finding.change == f"volunet train scans -o NEW --minutes 2 {change}"
    assert finding.cause.endswith(cause)


def test_one_validation_says_nothing(make_record):
    record = make_record(metrics={"train_dice": [0.9], "val_dice": [0.5, 0.5]})
    assert overfitting(record) == LeftOut("1 validations, 2 are needed")


@pytest.mark.parametrize(
    ("cases", "dice", "found"),
    [(4, [0.7] * 8, True), (5, [0.7] * 8, False), (8, [0.7, 0.8] * 4, True)],
    ids=["few", "enough", "jumps"],
)
def test_noisy_validation(make_record, cases, dice, found):
    finding = noisy_validation(make_record(metrics={"val_dice": dice}, validation=cases))
    assert (finding is not None) is found
    if found:
        assert (finding.certainty, finding.where) == ("low", f"{cases} validation cases")


def test_no_validation(make_record):
    finding = no_validation(make_record(validation=0, fold="none"))
    assert finding.certainty == "low"
    assert finding.evidence == "all 12 cases train (fold none)."
    assert finding.change.endswith("--fold 1/5")


@pytest.fixture
def without_a_dice(make_record):
    """A record without validations; its two validation cases have so many foreground voxels."""

    def make(voxels):
        record = make_record(
            metrics=dict.fromkeys(("val_dice", "val_loss", "train_dice")), validation=2
        )
        cache = record.run.folder / "cache"
        cache.mkdir(parents=True)
        for name, count in zip(record.run.validation, voxels, strict=False):
            for part, array in (
                ("image", np.zeros((1, 2, 2, 2), np.float32)),
                ("target", np.zeros((2, 2, 2), np.uint8)),
                ("places", np.ones((count, 4), np.int32)),
            ):
                np.save(cache / f"{name}.{part}.npy", array)
        return record

    return make


@pytest.mark.parametrize(
    ("voxels", "known"),
    [((0, 0), "they show background alone"), ((), "whether they show foreground is unknown")],
    ids=["background", "no-cache"],
)
def test_validation_cases_that_nothing_can_validate(without_a_dice, voxels, known):
    finding = no_validation(without_a_dice(voxels))
    assert (finding.certainty, finding.where) == ("low", "the validation cases")
    assert finding.evidence == f"there are 2, and no row has a Dice of them; {known}."
    assert finding.change == "volunet doctor scans"


def test_a_fit_that_was_not_validated_yet(without_a_dice):
    record = without_a_dice((0, 3))
    assert no_validation(record) == LeftOut("the fit ended before its first validation")
    (record.run.folder / "cache" / "valid_0.places.npy").write_bytes(b"no array")
    answer = no_validation(record)
    assert answer.reason.startswith("case valid_0's prepared array cannot be read")
