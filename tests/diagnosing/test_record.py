"""`read_record`: figures and layers of a run folder, and damaged ones."""

from __future__ import annotations

import dataclasses
import math

import pytest

from volunet.diagnosing.record import LayerSample, read_layers, read_record
from volunet.errors import ConfigError


def test_what_is_written_is_read(make_record, write_record):
    record = make_record(metrics={"train_loss": [2.0, 1.5, math.nan]})
    write_record(record)
    read = read_record(record.run)
    assert read.metrics["val_dice"] == record.metrics["val_dice"]
    assert read.layers == record.layers
    assert read.steps == 400
    # The NaN is kept, and left out of what is finite.
    assert math.isnan(read.metrics["train_loss"][2][1])
    assert read.finite("train_loss") == [(20, 2.0), (40, 1.5)]
    assert read.values("train_loss") == [2.0, 1.5]
    assert read.values("nothing") == []


def test_commands_are_about_the_run_that_was_started(make_run, make_record):
    record = make_record(fold="1/3")
    assert record.started is record.run
    whole = make_run(fold="all/3", members=3)
    assert dataclasses.replace(record, whole=whole).started is whole


def test_nothing_written_yet(make_run):
    read = read_record(make_run())
    assert (read.metrics, read.layers, read.steps) == ({}, {}, 0)


def test_empty_cells(tmp_path):
    file = tmp_path / "layers.csv"
    file.write_text(
        "step,layer,weight_norm,gradient_norm,update_ratio,silent_share\n"
        "1,head,2.5,0.25,,\n9,head,3,0.5,0.125,0.75\n"
    )
    assert read_layers(file) == {
        "head": [LayerSample(1, 2.5, 0.25, None, None), LayerSample(9, 3.0, 0.5, 0.125, 0.75)]
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics.csv", "step,train_loss\n1,much\n"),
        ("metrics.csv", "train_loss\n1\n"),
        ("metrics.csv", "step,train_loss,val_dice\n,1,2\n"),
        ("layers.csv", "step,layer\n1,head\n"),
        ("layers.csv", "step,layer,weight_norm,gradient_norm,update_ratio,silent_share\n1,head\n"),
    ],
    ids=["word", "no-step", "empty-step", "columns", "cut-off"],
)
def test_damaged(make_run, name, text):
    run = make_run()
    run.folder.mkdir()
    (run.folder / name).write_text(text)
    with pytest.raises(
        ConfigError, match=rf"{name}: a damaged table .*\n.*\nRestore it, or delete"
    ):
        read_record(run)
