"""Commands: the run again, but for a change; on with it; a look. The command line takes them."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from volunet.cli.main import app
from volunet.diagnosing.command import examine, go_on, train_again
from volunet.requests import TrainingRequest
from volunet.training.record.run_folder import read_run, write_run


def parameters(command):
    """What the command line reads of it."""
    program, verb, *words = shlex.split(command)
    assert program == "volunet"
    return typer.main.get_command(app).commands[verb].make_context(verb, words).params


def test_a_usual_run(make_run):
    assert train_again(make_run(learning_rate=None), learning_rate=3e-3) == (
        "volunet train scans -o NEW --minutes 2 --learning-rate 0.003"
    )


def test_what_the_user_gave_stays(make_run):
    """A run that did not keep it tells as much by its plan and configuration."""
    run = make_run(
        epochs=5, loss="dice", workers=0, fold="2/4", norm="instance", dropout=(0.0, 0.25),
        augmentation="none", l2=0.5, learning_rate=0.5, seed=7,
    )  # fmt: skip
    words = shlex.split(train_again(run, augmentation="strong", workers=2))
    flags = dict(zip(words[5::2], words[6::2], strict=True))
    assert flags == {
        "--epochs": "5",
        "--fold": "2/4",
        "--loss": "dice",
        "--learning-rate": "0.5",
        "--workers": "2",
        "--seed": "7",
        "--norm": "instance",
        "--dropout": "0,0.25",
        "--l2": "0.5",
        "--augmentation": "strong",
    }


def test_every_wish_is_told(make_run):
    asked = TrainingRequest(
        minutes=2,
        fold="all/3",
        batch_size="auto",
        precision="bfloat16",
        skip_bad=True,
        seed=3,
        preset="notes",
        features=(16, 32),
        patch_size=(32, 48, 64),
        spacing_mm=(3.0, 0.7421875, 0.7421875),
        norm="group",
        dropout=(0.0, 0.1),
        l1=1e-6,
        l2=0.5,
        augmentation="light",
        patience=4,
    )
    run = replace(make_run(seed=3), asked=asked)
    command = train_again(run, learning_rate=1e-3)
    assert command == (
        "volunet train scans -o NEW --minutes 2 --fold all/3 --preset notes --features 16,32 "
        "--patch-size 32x48x64 --batch-size auto --spacing-mm 3,0.7421875,0.7421875 --norm group "
        "--dropout 0,0.1 --l1 1e-06 --l2 0.5 --augmentation light --patience 4 "
        "--precision bfloat16 --seed 3 --skip-bad --learning-rate 0.001"
    )
    read = parameters(command)
    assert (read["skip_bad"], read["seed"], read["patience"]) == (True, 3, 4)
    assert (read["preset"], read["patch_size"], read["batch_size"]) == ("notes", "32x48x64", "auto")


@pytest.mark.parametrize(("optimizer", "own"), [("adamw", 0.01), ("sgd", 3e-5)])
def test_what_followed_from_rules_is_not_told(make_run, optimizer, own):
    """The plan has a norm, a batch and a patch, but nobody asked for them."""
    asked = TrainingRequest(optimizer=optimizer, l2=own)
    run = replace(make_run(norm="instance", optimizer=optimizer, l2=own), asked=asked)
    given = "" if optimizer == "adamw" else " --optimizer sgd"
    assert train_again(run) == f"volunet train scans -o NEW --minutes 2{given}"


def test_wishes_that_were_written_are_told(make_run):
    """As JSON keeps them, with lists for tuples."""
    run = replace(make_run(), asked=TrainingRequest(patch_size=(8, 9, 10)))
    run.folder.mkdir()
    write_run(run)
    assert train_again(read_run(run.folder)).endswith("--minutes 2 --patch-size 8x9x10")


def test_none_leaves_it_to_volunet(make_run):
    assert "--loss" not in train_again(make_run(loss="l1"), loss=None)


@pytest.mark.parametrize(
    ("preset", "told"), [("notes", " --preset auto"), ("auto", "")], ids=["changes", "same"]
)
def test_a_change_that_changes_nothing_is_not_told(make_run, preset, told):
    run = replace(make_run(), asked=TrainingRequest(preset=preset))
    assert train_again(run, preset="auto") == f"volunet train scans -o NEW --minutes 2{told}"


@pytest.mark.parametrize("dataset", ["scans", "my scans/'a'"])
def test_it_parses(make_run, dataset):
    run = replace(make_run(dropout=(0.0, 0.1), l1=1e-6, norm="group"), dataset=dataset)
    read = parameters(train_again(run, batch_size="auto", fold="all", features=(16, 32), l2=0.01))
    assert str(read["dataset"]) == dataset
    assert read["batch_size"] == "auto"
    assert read["features"] == "16,32"
    assert read["l1"] == 1e-6
    assert read["minutes"] == 2.0


def test_paths_with_spaces(make_run):
    run = replace(make_run(), dataset="my scans", folder=Path("runs of may/a"))
    assert go_on(run) == "volunet train 'my scans' -o 'runs of may/a' --resume"
    assert parameters(go_on(run))["output"] == Path("runs of may/a")
    assert examine("my scans") == "volunet doctor 'my scans'"
    assert parameters(examine("my scans"))["subject"] == Path("my scans")
