"""`train_again`: the command of the run, but for a change; the command line takes it."""

from __future__ import annotations

import shlex

import pytest
import typer

from volunet.cli.main import app
from volunet.diagnosing.command import train_again


def test_a_usual_run(make_run):
    assert train_again(make_run(learning_rate=None), learning_rate=3e-3) == (
        "volunet train scans -o NEW --minutes 2 --learning-rate 0.003"
    )


def test_what_the_user_gave_stays(make_run):
    run = make_run(
        epochs=5, loss="dice", workers=0, fold="2/4", norm="instance", dropout=(0.0, 0.25),
        augmentation="none", l2=0.5, learning_rate=0.5,
    )  # fmt: skip
    words = shlex.split(train_again(run, augmentation="strong", workers=2))
    flags = dict(zip(words[5::2], words[6::2], strict=True))
    assert flags == {
        "--epochs": "5",
        "--fold": "2/4",
        "--loss": "dice",
        "--learning-rate": "0.5",
        "--workers": "2",
        "--norm": "instance",
        "--dropout": "0,0.25",
        "--l2": "0.5",
        "--augmentation": "strong",
    }


def test_none_leaves_it_to_volunet(make_run):
    assert "--loss" not in train_again(make_run(loss="l1"), loss=None)


@pytest.mark.parametrize("dataset", ["scans", "my scans/'a'"])
def test_it_parses(make_run, dataset):
    from dataclasses import replace

    run = replace(make_run(dropout=(0.0, 0.1), l1=1e-6, norm="group"), dataset=dataset)
    command = train_again(run, batch_size="auto", fold="all", features=(16, 32), l2=0.01)
    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("volunet", "train")
    context = typer.main.get_command(app).commands["train"].make_context("train", words)
    assert str(context.params["dataset"]) == dataset
    assert context.params["batch_size"] == "auto"
    assert context.params["features"] == "16,32"
    assert context.params["l1"] == 1e-6
    assert context.params["minutes"] == 2.0
