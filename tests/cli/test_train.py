"""``volunet train``: its flags become arguments, and its last line says what came."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

DEFAULTS = {"resume": False}
"""What is not asked for is left to `volunet.train`."""


@pytest.fixture
def trained(monkeypatch, tiny_plan):
    """Instead of training: what was asked for is kept, and answered what the test says."""
    asked = []
    result = SimpleNamespace(
        plan=tiny_plan(), steps=123, elapsed_s=594.0, best_score=0.8765, waiting_share=0.034,
        interrupted=False,
    )  # fmt: skip

    def train(dataset, output, **keys):
        asked.append((dataset, output, keys))
        return result

    monkeypatch.setattr("volunet.api.train.train", train)
    return SimpleNamespace(asked=asked, result=result)


def arguments(trained):
    ((dataset, output, keys),) = trained.asked
    assert (dataset, output) == (Path("data"), Path("run"))
    return {name: value for name, value in keys.items() if name != "progress"}


def test_what_is_not_given(volunet, trained):
    status, out, err = volunet("train", "data", "-o", "run", "--minutes", "10")
    assert status == 0, err
    assert arguments(trained) == DEFAULTS | {"minutes": 10.0}
    assert callable(trained.asked[0][2]["progress"])
    assert " ".join(out.split()) == (
        "run: done, 123 steps in 9.9 minutes, validation Dice 0.876; steps waited for patches 3% "
        "of the time."
    )


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["--epochs", "3"], {"epochs": 3}),
        (["--resume"], {"resume": True}),
        (["--resume", "--minutes", "1.5"], {"resume": True, "minutes": 1.5}),
        (["--epochs", "3", "--fold", "all/3"], {"epochs": 3, "fold": "all/3"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_budgets(volunet, trained, words, keys):
    assert volunet("train", "data", "-o", "run", *words).status == 0
    assert arguments(trained) == DEFAULTS | keys


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["--preset", "notes"], {"preset": "notes"}),
        (["--features", "16,32"], {"features": (16, 32)}),
        (["--patch-size", "64x96x80"], {"patch_size": (64, 96, 80)}),
        (["--batch-size", "4"], {"batch_size": 4}),
        (["--batch-size", "auto"], {"batch_size": "auto"}),
        (["--spacing-mm", "3,1,0.5"], {"spacing_mm": (3.0, 1.0, 0.5)}),
        (["--loss", "tversky"], {"loss": "tversky"}),
        (["--norm", "group"], {"norm": "group"}),
        (["--dropout", "0.25"], {"dropout": 0.25}),
        (["--dropout", "0,0.1"], {"dropout": (0.0, 0.1)}),
        (["--l1", "1e-5"], {"l1": 1e-5}),
        (["--l2", "0"], {"l2": 0.0}),
        (["--augmentation", "none"], {"augmentation": "none"}),
        (["--patience", "5"], {"patience": 5}),
        (["--optimizer", "sgd"], {"optimizer": "sgd"}),
        (["--learning-rate", "0.5"], {"learning_rate": 0.5}),
        (["--precision", "bfloat16"], {"precision": "bfloat16"}),
        (["--workers", "0"], {"workers": 0}),
        (["--seed", "7"], {"seed": 7}),
        (["--skip-bad"], {"skip_bad": True}),
    ],
    ids=lambda value: "".join(value) if isinstance(value, list) else "",
)
def test_each_flag(volunet, trained, words, keys):
    status, _, err = volunet("train", "data", "-o", "run", "--epochs", "1", *words)
    assert status == 0, err
    assert arguments(trained) == DEFAULTS | {"epochs": 1} | keys


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--batch-size", "4,5"], "--batch-size 4,5: neither a number of patches nor auto"),
        (["--batch-size", "many"], "--batch-size many: neither a number of patches nor auto"),
        (["--batch-size", "0"], "--batch-size 0: neither a number of patches nor auto"),
        (["--norm", "layer"], "--norm"),
        (["--augmentation", "wild"], "--augmentation"),
        (["--precision", "float16"], "--precision"),
        (["--dropout", "some"], "--dropout: 'some'"),
        (["--patch-size", "8x8"], "--patch-size: '8x8'"),
        (["--workers", "-1"], "--workers -1: not allowed. It is greater than or equal to 0."),
    ],
    ids=lambda value: "".join(value) if isinstance(value, list) else "",
)
def test_what_no_flag_takes(volunet, trained, words, message):
    status, out, err = volunet("train", "data", "-o", "run", "--epochs", "1", *words)
    assert (status, out) == (2, "")
    assert message in " ".join(err.split())
    assert trained.asked == []


def test_a_fit_that_was_interrupted(volunet, trained):
    trained.result.interrupted = True
    status, out, _ = volunet("train", "data", "-o", "run", "--minutes", "10")
    assert status == 0
    text = " ".join(out.split())
    assert text.startswith("run: interrupted after 123 steps in 9.9 minutes, validation Dice")
    assert text.endswith("Go on with: volunet train data -o run --resume")


def test_a_fit_that_nothing_validated(volunet, trained):
    trained.result.best_score = math.nan
    out = volunet("train", "data", "-o", "run", "--minutes", "10").out
    assert "123 steps in 9.9 minutes; steps waited" in " ".join(out.split())


def test_of_several_processes_the_first_speaks(volunet, trained, monkeypatch, caplog):
    monkeypatch.setenv("RANK", "1")
    status, out, err = volunet("train", "data", "-o", "run", "--minutes", "10")
    assert (status, out, err) == (0, "", "")
    assert trained.asked[0][2]["progress"] is None
    # Warnings are the first's to say as well.
    assert logging.getLogger("volunet").getEffectiveLevel() == logging.ERROR
