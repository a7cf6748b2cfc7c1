"""`export` and `check`: run folder → one file → the same answer on every engine."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

import volunet
from volunet.errors import ConfigError, OutputError
from volunet.inference import open_engine, open_model
from volunet.inference.engines.torch_engine import TorchEngine
from volunet.nets.deployed import DeployedNetwork
from volunet.training.record.run_folder import member_folder, read_network, read_run


@pytest.fixture(scope="module")
def answers(blob_run, tmp_path_factory):
    """The run exported with each answer, on a scan of its range of intensities."""
    folder = tmp_path_factory.mktemp("answers")
    scan = np.random.default_rng(0).normal(120, 40, (1, 1, 9, 7, 11)).astype(np.float32)
    found = {}
    for answer in ("logits", "probabilities", "labels"):
        report = volunet.export(blob_run, folder / f"{answer}.onnx", answer=answer, sizes=2)
        model = open_model(folder / f"{answer}.onnx", "onnxruntime")
        found[answer] = (report, model.plan, model.engine.run(scan))
    return found


def test_every_answer_was_checked(answers):
    for answer, (report, plan, _) in answers.items():
        assert plan.task.answer == answer
        assert report.passed
        assert report.reference == "torch"
        assert {row.engine for row in report.rows} == {"onnxruntime", "openvino"}
        assert len(report.rows) == 4
        assert report.model.endswith(f"{answer}.onnx")


def test_answers_belong_together(answers, blob_run):
    logits, shares, labels = (answers[name][2] for name in ("logits", "probabilities", "labels"))
    assert logits.shape == shares.shape == (1, 2, 9, 7, 11)
    assert labels.shape == (1, 1, 9, 7, 11)
    np.testing.assert_array_equal(labels[:, 0], logits.argmax(axis=1))
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    # float32 softmax.
    np.testing.assert_allclose(shares, odds / odds.sum(axis=1, keepdims=True), atol=1e-6)
    logits, labels = answers["logits"][1], answers["labels"][1]
    task = logits.task.model_copy(update={"answer": "labels"})
    assert logits.model_copy(update={"task": task}) == labels
    assert answers["logits"][1] == read_run(blob_run).plan


def test_file_to_check_report(blob_model):
    told = []
    report = volunet.check(blob_model, sizes=3, progress=lambda *done: told.append(done))
    assert (report.model, report.reference, report.passed) == (str(blob_model), "torch", True)
    assert [row.size for row in report.rows[::2]] == [(1, 1, 1), (1, 29, 53), (31, 1, 47)]
    assert report.largest_difference < 1e-4
    assert told == [(1, 3), (2, 3), (3, 3)]
    # A tolerance below float32's rounding is not met, which shows that something is compared.
    strict = volunet.check(blob_model, sizes=3, tolerance=0.0)
    assert (strict.passed, len(strict.rows)) == (False, 6)
    assert strict.largest_difference == report.largest_difference > 0


def test_weights_are_in_the_file(blob_model, blob_run):
    """A run with other weights answers something else, and the check of the file would tell."""
    network = read_network(read_run(blob_run))
    total = sum(p.numel() for p in network.parameters())
    assert blob_model.stat().st_size > 4 * total
    assert sorted(path.name for path in blob_model.parent.iterdir()) == [blob_model.name]


def test_unknown_answer(blob_run, tmp_path):
    message = (
        r"--answer mask: no such answer\.\nChoices of the task segmentation are logits, "
        r"probabilities, labels\.\nTake"
    )
    with pytest.raises(ConfigError, match=message):
        volunet.export(blob_run, tmp_path / "model.onnx", answer="mask")
    assert list(tmp_path.iterdir()) == []


def test_no_run(blobs, tmp_path):
    with pytest.raises(ConfigError, match=r"blobs: no run\.json in it\.\n"):
        volunet.export(blobs, tmp_path / "model.onnx")


def test_file_is_not_overwritten(blob_run, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"model\.onnx: exists already\.\n.*\n.*--overwrite"):
        volunet.export(blob_run, file)
    assert file.read_bytes() == b"mine"
    volunet.export(blob_run, file, sizes=1, overwrite=True)
    assert len(file.read_bytes()) > 5000


def test_no_size_to_check(blob_run, tmp_path):
    with pytest.raises(ConfigError, match=r"--sizes 0: no size to check"):
        volunet.export(blob_run, tmp_path / "model.onnx", sizes=0)
    assert list(tmp_path.iterdir()) == []


def probabilities_of_members(bagged_run, scan):
    """Mean over the members' own runs, each through its own softmax, in float64."""
    total = 0.0
    for number in (1, 2, 3):
        run = read_run(member_folder(bagged_run, number))
        with torch.inference_mode():
            logits = DeployedNetwork(read_network(run), run.plan)(torch.from_numpy(scan))
        total = total + torch.softmax(logits.double(), dim=1).numpy() / 3
    return total


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_an_ensemble_is_one_file_with_the_mean_of_its_members(bagged_run, bagged_model, engine):
    model = open_model(bagged_model, engine)
    assert model.plan == read_run(bagged_run).plan
    assert model.plan.members == 3
    for size in [(1, 1, 1), (1, 9, 5), (7, 3, 11), (13, 1, 3), (9, 15, 7)]:
        scan = np.random.default_rng(0).normal(120, 40, (1, 1, *size)).astype(np.float32)
        answer = model.engine.run(scan)
        assert (answer.shape, answer.dtype.name) == ((1, 2, *size), "float32")
        # 1e-5: float32 sums of the networks in another order, not of the mean alone.
        want = probabilities_of_members(bagged_run, scan)
        assert np.abs(np.exp(answer) - want).max() <= 1e-5
        np.testing.assert_allclose(np.exp(answer).sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.long
def test_each_answer_of_an_ensemble_passes_the_check(bagged_run, tmp_path):
    scan = np.random.default_rng(1).normal(120, 40, (1, 1, 9, 7, 11)).astype(np.float32)
    found = {}
    for answer in ("probabilities", "labels"):
        report = volunet.export(bagged_run, tmp_path / f"{answer}.onnx", answer=answer, sizes=1)
        assert (report.passed, report.reference, len(report.rows)) == (True, "torch", 2)
        found[answer] = open_model(tmp_path / f"{answer}.onnx", "onnxruntime").engine.run(scan)
    want = probabilities_of_members(bagged_run, scan)
    assert np.abs(found["probabilities"] - want).max() <= 1e-5
    assert found["labels"].shape == (1, 1, 9, 7, 11)
    certain = np.abs(want[:, 0] - want[:, 1]) > 1e-4
    assert certain.mean() > 0.9
    assert np.array_equal(found["labels"][:, 0][certain], want.argmax(axis=1)[certain])
    assert len(np.unique(found["labels"])) == 2


def test_the_file_of_an_ensemble_is_checked_against_its_rebuilt_networks(bagged_model):
    report = volunet.check(bagged_model, sizes=2)
    assert (report.passed, report.reference, len(report.rows)) == (True, "torch", 4)
    assert isinstance(open_engine(bagged_model, "torch"), TorchEngine)


def test_an_ensemble_with_a_member_that_is_not_trained_is_not_exported(bagged_run, tmp_path):
    run = shutil.copytree(bagged_run, tmp_path / "run")
    (member_folder(run, 3) / "weights.safetensors").unlink()
    message = r"fold_3: no weights\.safetensors: the run of fold 3 ended .*\n.*\n.*run --resume"
    with pytest.raises(ConfigError, match=message):
        volunet.export(run, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
