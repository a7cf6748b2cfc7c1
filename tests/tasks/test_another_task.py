"""A task is one folder and one line: regression of a number a scan, which nothing else knows of.

`number_task` beside this file is all of it. It trains, exports and predicts, whole and streamed,
through the commands' own functions.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import onnxruntime
import pytest

import volunet
from volunet.errors import ConfigError, DatasetError
from volunet.plan import TASKS
from volunet.training.record.run_folder import read_run


@pytest.fixture
def number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line, and the folder's place."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setitem(TASKS, "number", "number_task")


@pytest.fixture
def table(tmp_path: Path, number: None) -> Path:
    """Noise whose mean is the case's number."""
    rng = np.random.default_rng(0)
    with (tmp_path / "cases.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "value"])
        for index in range(4):
            image = rng.normal(index, 1.0, (12, 11, 10)).astype(np.float32)
            nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), tmp_path / f"s{index}.nii.gz")
            rows.writerow([f"s{index}.nii.gz", f"{index:.1f}"])
    return tmp_path / "cases.csv"


def test_it_trains_exports_and_predicts(table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trained = volunet.train(
        table, run, epochs=6, features=(4, 8), patch_size=(8, 8, 8), workers=0, seed=1
    )
    assert (trained.plan.task.kind, trained.plan.task.unit) == ("number", "voxels")
    assert 0 < trained.best_score < 10
    assert read_run(run).config.loss == "squared"
    header = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"val_error", "train_error"} <= set(header)

    model = tmp_path / "model.onnx"
    assert volunet.export(run, model, sizes=2).passed
    scan = tmp_path / "s2.nii.gz"
    x = nibabel.load(scan).get_fdata(dtype=np.float32).transpose(2, 1, 0)[None, None]
    (output,) = onnxruntime.InferenceSession(model).run(None, {"input": x})
    want = pytest.approx(float(output.mean(dtype=np.float64)), abs=1e-5)
    assert volunet.predict(model, scan) == want
    for mode in ("whole", "streamed"):
        (file,) = volunet.predict(model, [scan], tmp_path / mode, mode=mode)
        assert file == tmp_path / mode / "s2.json"
        assert json.loads(file.read_text()) == {"value": want}
    assert volunet.predict(model, scan, mode="streamed") == want


def test_what_only_it_knows_is_checked_by_it(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--loss dice.*\n.*squared"):
        volunet.train(table, tmp_path / "a", epochs=1, loss="dice")
    rows = table.read_text().replace("2.0", "two")
    table.write_text(rows)
    with pytest.raises(DatasetError, match="'two'"):
        volunet.train(table, tmp_path / "b", epochs=1)


def test_the_doctor_leaves_out_what_is_for_label_maps(table: Path) -> None:
    image = nibabel.load(table.parent / "s1.nii.gz")
    nibabel.save(
        nibabel.Nifti1Image(np.full(image.shape, 7.0), np.eye(4)), table.parent / "s1.nii.gz"
    )
    diagnosis = volunet.doctor(table)
    assert [finding.fault for finding in diagnosis.findings] == ["image-constant"]
    assert {"spacing-outlier", "duplicate-cases", "image-constant"} <= set(diagnosis.checked)
    reason = "it is for segmentation, and the task here is number"
    assert f"label-flipped: {reason}" in diagnosis.left_out
    assert f"class-imbalance: {reason}" in diagnosis.left_out


def test_a_plan_of_a_task_that_is_not_there(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(TASKS, "number")
    with pytest.raises(DatasetError, match="image, value"):
        volunet.train(table, table.parent / "run", epochs=1)
