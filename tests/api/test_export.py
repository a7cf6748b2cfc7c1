"""`export` and `check`: run folder → one file → the same answer on every engine."""

from __future__ import annotations

import numpy as np
import pytest

import volunet
from volunet.errors import ConfigError, OutputError
from volunet.inference import open_model
from volunet.training.run_folder import read_network, read_run


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
        assert plan.answer == answer
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
    assert answers["logits"][1].model_copy(update={"answer": "labels"}) == answers["labels"][1]
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
        r"--answer mask: no such answer\.\nA model answers logits, probabilities, labels\.\nTake"
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
