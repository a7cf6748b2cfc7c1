"""Folders of label maps → rows, means that say what they leave out, and a table."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from volunet.errors import ConfigError, DatasetError, OutputError, ShapeError, VolumeError
from volunet.tasks.scores import agreement
from volunet.tasks.segmentation.scores import CSV_COLUMNS, Evaluation, Row, Statistic, evaluate
from volunet.volumes import Volume

HIPPOCAMPUS = Path(__file__).resolve().parents[3].parent / "shared/data/Task04_Hippocampus"


def write(path: Path, array: NDArray[np.generic], spacing_mm: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((spacing_mm,) * 3)
    SimpleITK.WriteImage(image, str(path))


def box(value: int, start: int, stop: int) -> NDArray[np.uint8]:
    array = np.zeros((8, 9, 10), dtype=np.uint8)
    array[start:stop, 2:6, 2:6] = value
    return array


def row(case: str, value: int, dice: float, hd95_mm: float = 1.0) -> Row:
    return Row(case, f"class {value}", value, dice, dice, hd95_mm, 0.5)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Class 1 half found in `a`; class 2 missed in `b` and absent in `a`; `c` not predicted."""
    references, predictions = tmp_path / "set" / "labelsTr", tmp_path / "predictions"
    write(references / "a.nii.gz", box(1, 2, 6))
    write(predictions / "a.mha", box(1, 2, 4))
    write(references / "b.nrrd", np.maximum(box(1, 2, 4), box(2, 4, 6)))
    write(predictions / "b.nii.gz", box(1, 2, 4))
    write(references / "c.nii.gz", box(1, 2, 4))
    write(predictions / "d.nii.gz", box(1, 2, 4))
    return predictions, references


def test_folders_are_scored(folders: tuple[Path, Path]) -> None:
    steps: list[tuple[int, int]] = []
    found = evaluate(*folders, progress=lambda done, total: steps.append((done, total)))
    assert [(one.case, one.class_name, one.note) for one in found.rows] == [
        ("a", "class 1", ""),
        ("a", "class 2", "absent"),
        ("b", "class 1", ""),
        ("b", "class 2", "missed"),
    ]
    assert [one.dice for one in found.rows] == pytest.approx(
        [2 / 3, math.nan, 1.0, 0.0], abs=1e-6, nan_ok=True
    )
    # 32 voxels of 1 mm³ are 0.032 ml.
    assert found.rows[0].volume_difference_ml == pytest.approx(-0.032)
    assert found.rows[3].hd95_mm == math.inf
    assert (found.missing, found.extra, found.num_cases) == (("c",), ("d",), 2)
    assert steps == [(0, 2), (1, 2), (2, 2)]


def test_the_summary_says_what_it_leaves_out(folders: tuple[Path, Path]) -> None:
    first, second = evaluate(*folders).summary()
    assert (first.class_name, first.label_value) == ("class 1", 1)
    assert first.dice.mean == pytest.approx(5 / 6, abs=1e-6)
    assert (first.dice.count, first.dice.left_out) == (2, 0)
    # Absent in `a`: left out. Missed in `b`: Dice 0 counts, the infinite HD95 does not.
    assert second.dice == Statistic(0.0, pytest.approx(math.nan, nan_ok=True), 1, 1)
    assert (second.hd95_mm.count, second.hd95_mm.left_out) == (0, 2)
    assert math.isnan(second.hd95_mm.mean)


def test_mean_foreground_dice_weighs_classes_alike() -> None:
    rows = (row("a", 1, 0.9), row("b", 1, 0.7), row("c", 1, 0.8), row("a", 2, 0.2))
    assert Evaluation(rows).mean_foreground_dice == pytest.approx((0.8 + 0.2) / 2)
    absent = (*rows, row("a", 3, math.nan))
    assert Evaluation(absent).mean_foreground_dice == pytest.approx((0.8 + 0.2) / 2)
    assert math.isnan(Evaluation(()).mean_foreground_dice)


def test_statistic() -> None:
    found = Statistic.of([1.0, 2.0, 3.0, math.nan, math.inf])
    assert found == Statistic(mean=2.0, sd=1.0, count=3, left_out=2)
    assert found.text(1) == "2.0 ± 1.0 (2 left out)"
    assert Statistic.of([0.25]).text(2) == "0.25"
    assert Statistic.of([math.nan]).text(2) == "– (1 left out)"


def test_class_names_from_the_data_set(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    labels = {"background": 0, "hip bone": 1, "sacrum": 7}
    (references.parent / "dataset.json").write_text(json.dumps({"labels": labels}))
    found = evaluate(predictions, references)
    assert [one.class_name for one in found.summary()] == ["hip bone", "class 2", "sacrum"]
    assert [one.note for one in found.rows if one.class_name == "sacrum"] == ["absent"] * 2
    given = evaluate(predictions, references, classes={0: "background", 2: "femur"})
    assert [one.class_name for one in given.summary()] == ["class 1", "femur"]


def test_voxels_to_ignore_count_for_nothing(tmp_path: Path) -> None:
    reference = box(1, 2, 6)
    reference[4:6] = np.where(reference[4:6] == 1, 2, 0)
    write(tmp_path / "r" / "a.nii", reference)
    write(tmp_path / "p" / "a.nii", box(1, 2, 6))
    labels = {"background": 0, "femur": 1, "ignore": 2}
    (tmp_path / "r" / "dataset.json").write_text(json.dumps({"labels": labels}))
    (only,) = evaluate(tmp_path / "p", tmp_path / "r").rows
    assert (only.class_name, only.dice) == ("femur", 1.0)


def test_the_table(folders: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scores.csv"
    evaluate(*folders).write_csv(path)
    text = path.read_text(encoding="utf-8")
    assert text.splitlines()[0] == "case,class,dice,surface_dice,hd95_mm,volume_difference_ml"
    table = list(csv.DictReader(text.splitlines()))
    assert tuple(table[0]) == CSV_COLUMNS
    assert len(table) == 4
    assert table[0]["dice"] == "0.666667"
    assert table[1] | {"case": "a", "class": "class 2"} == table[1]
    assert {table[1][name] for name in CSV_COLUMNS[2:]} == {"nan"}
    assert (table[3]["dice"], table[3]["hd95_mm"]) == ("0", "inf")
    assert float(table[3]["volume_difference_ml"]) == pytest.approx(-0.032)


def test_a_table_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"):
        Evaluation(()).write_csv(tmp_path)


def test_two_files(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    found = evaluate(predictions / "d.nii.gz", references / "c.nii.gz")
    assert [(one.case, one.dice) for one in found.rows] == [("c", 1.0)]


def test_none_matched(tmp_path: Path) -> None:
    write(tmp_path / "p" / "x.nii", box(1, 2, 4))
    write(tmp_path / "r" / "y.nii", box(1, 2, 4))
    with pytest.raises(DatasetError, match=r"Predictions: x\.nii\. References: y\.nii"):
        evaluate(tmp_path / "p", tmp_path / "r")


def test_grids_that_differ(tmp_path: Path) -> None:
    for folder in ("p", "r"):
        write(tmp_path / folder / "a.nii", box(1, 2, 4))
    write(tmp_path / "p" / "x.nii", box(1, 2, 4), spacing_mm=2.0)
    write(tmp_path / "r" / "x.nii", box(1, 2, 4))
    steps: list[tuple[int, int]] = []
    with pytest.raises(VolumeError, match=r"x\.nii: reference spacing \(1, 1, 1\) mm, prediction"):
        evaluate(tmp_path / "p", tmp_path / "r", progress=lambda *step: steps.append(step))
    assert steps == [], "found before anything was scored"


def test_a_scan_is_no_label_map(tmp_path: Path) -> None:
    write(tmp_path / "r" / "x.nii", box(1, 2, 4))
    write(tmp_path / "p" / "x.nii", (box(1, 2, 4) * 0.4).astype(np.float32))
    with pytest.raises(VolumeError, match=r"not whole numbers, from 0 to 0\.4"):
        evaluate(tmp_path / "p", tmp_path / "r")


def test_labels_that_were_rounded_by_a_scale_factor(tmp_path: Path) -> None:
    write(tmp_path / "r" / "x.nii", box(3, 2, 4))
    write(tmp_path / "p" / "x.nii", (box(3, 2, 4) * 1.00000002).astype(np.float64))
    (only,) = evaluate(tmp_path / "p", tmp_path / "r").rows
    assert (only.label_value, only.dice) == (3, 1.0)


def test_probabilities_are_no_label_map(tmp_path: Path) -> None:
    write(tmp_path / "r" / "x.nii.gz", box(1, 2, 4))
    reference = nibabel.load(tmp_path / "r" / "x.nii.gz")
    maps = np.zeros((*reference.shape, 2), dtype=np.float32)
    (tmp_path / "p").mkdir()
    nibabel.save(nibabel.Nifti1Image(maps, reference.affine), tmp_path / "p" / "x.nii.gz")
    with pytest.raises(VolumeError, match="2 channels"):
        evaluate(tmp_path / "p", tmp_path / "r")


def test_without_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "volunet\[train\]"'):
        evaluate(tmp_path, tmp_path)


def test_importing_imports_no_pytorch() -> None:
    code = "import sys, volunet.tasks.segmentation.scores; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.skipif(not HIPPOCAMPUS.is_dir(), reason="MSD Task04_Hippocampus is not there")
def test_real_references_against_themselves(tmp_path: Path) -> None:
    references = tmp_path / "labelsTr"
    references.mkdir()
    for name in ("hippocampus_001.nii.gz", "hippocampus_003.nii.gz"):
        (references / name).symlink_to(HIPPOCAMPUS / "labelsTr" / name)
    (tmp_path / "dataset.json").symlink_to(HIPPOCAMPUS / "dataset.json")
    found = evaluate(references, references)
    assert [one.class_name for one in found.summary()] == ["Anterior", "Posterior"]
    assert found.mean_foreground_dice == 1.0
    assert {(one.hd95_mm, one.volume_difference_ml) for one in found.rows} == {(0.0, 0.0)}


def test_agreement(tiny_plan) -> None:
    a = np.zeros((1, 8, 8, 8), np.int64)
    a[:, 2:6, 2:6, 2:6] = 5
    b = np.where(np.arange(8)[:, None, None] < 4, a, 0)
    b[0, 0, 0, 0] = 300
    volumes = [Volume.of_array(array, (1.0, 1.0, 1.0)) for array in (a, b)]
    # 2 · 32 / (64 + 32); femur is in b alone; sacrum in neither.
    assert agreement(tiny_plan(classes=4), *volumes) == {
        "hip": pytest.approx(2 / 3),
        "femur": 0.0,
        "sacrum": pytest.approx(np.nan, nan_ok=True),
    }


def test_agreement_of_other_grids_is_refused(tiny_plan) -> None:
    a, b = (Volume.of_array(np.zeros((1, 2, 2, n), int), (1.0, 1.0, 1.0)) for n in (2, 3))
    with pytest.raises(ShapeError, match=r"\(2, 2, 2\).*\(2, 2, 3\)"):
        agreement(tiny_plan(classes=2), a, b)


def test_what_tables_and_reports_show() -> None:
    rows = (
        Row("a", "femur", 1, 0.5, 0.9, 2.0, -1.0),
        Row("a", "hip", 2, math.nan, 0.5, math.inf, 0.5, "not in the prediction"),
        Row("b", "femur", 1, 1.0, 1.0, math.inf, 1.0),
    )
    scores = Evaluation(rows, surface_tolerance_mm=2.0)
    assert scores.headline == ("mean foreground Dice", 0.75)
    assert [len(row) for row in scores.table()] == [len(scores.header)] * 2
    assert scores.table()[0][:2] == ("femur", "0.750 ± 0.354")
    assert scores.line_of("a") == "Dice: femur 0.500"
    assert scores.line_of("c") == ""
    assert scores.notes == ("a, hip: not in the prediction",)
    assert scores.explanation.startswith("Surface Dice at a tolerance of 2 mm.")
