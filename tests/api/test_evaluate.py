"""`evaluate`: numbers of label maps that are known by hand, and its table on disk."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import volunet
from volunet.errors import OutputError


@pytest.fixture
def pair(tmp_path):
    """A box of 4³ voxels, and one that is shifted by a voxel: 48 of 64 in common."""

    def write(name, start):
        array = np.zeros((10, 10, 10), np.uint8)
        array[start : start + 4, 3:7, 3:7] = 1
        volume = volunet.Volume.of_array(array, (2.0, 2.0, 2.0))
        volunet.write_volume(volume, tmp_path / name / "case.nii.gz")
        return tmp_path / name

    return write("predictions", 4), write("references", 3)


def test_scores(pair, tmp_path):
    told = []
    evaluation = volunet.evaluate(
        *pair, tmp_path / "scores.csv", progress=lambda *d: told.append(d)
    )
    (row,) = evaluation.rows
    assert (row.case, row.class_name, row.label_value) == ("case", "class 1", 1)
    assert row.dice == pytest.approx(2 * 48 / 128)
    assert row.volume_difference_ml == 0.0
    assert evaluation.mean_foreground_dice == pytest.approx(0.75)
    # Shifted by one voxel of 2 mm.
    assert row.hd95_mm == pytest.approx(2.0)
    assert told[-1] == (1, 1)
    with (tmp_path / "scores.csv").open(newline="") as lines:
        (written,) = csv.DictReader(lines)
    assert (written["case"], written["class"], written["dice"]) == ("case", "class 1", "0.75")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "predictions",
        "references",
        "scores.csv",
    ]


def test_tolerance(pair):
    strict = volunet.evaluate(*pair, surface_tolerance_mm=1.0)
    lenient = volunet.evaluate(*pair, surface_tolerance_mm=2.0)
    assert strict.rows[0].surface_dice < 1.0
    assert lenient.rows[0].surface_dice == 1.0
    assert lenient.surface_tolerance_mm == 2.0


def test_single_files(pair):
    prediction, reference = (folder / "case.nii.gz" for folder in pair)
    assert volunet.evaluate(prediction, reference).mean_foreground_dice == pytest.approx(0.75)
    assert volunet.evaluate(str(reference), str(reference)).mean_foreground_dice == 1.0


def test_scores_are_not_overwritten(pair, tmp_path):
    file = tmp_path / "scores.csv"
    file.write_text("mine")
    message = r"scores\.csv: exists already\.\nScores go to a new file\.\nName another, or pass --"
    with pytest.raises(OutputError, match=message):
        volunet.evaluate(*pair, file)
    assert file.read_text() == "mine"
    volunet.evaluate(*pair, file, overwrite=True)
    assert file.read_text().startswith("case,class,dice,")
