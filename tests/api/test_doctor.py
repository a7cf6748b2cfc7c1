"""`doctor`: a data set or a run, told apart by what is in the folder."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

import volunet
from volunet.errors import ConfigError, DatasetError


def test_a_run(blob_run):
    told = []
    diagnosis = volunet.doctor(
        blob_run, probe=False, progress=lambda stage, done, total: told.append((stage, done, total))
    )
    assert (diagnosis.kind, diagnosis.subject) == ("run", str(blob_run))
    assert told == []
    assert "loss-does-not-fit" in diagnosis.passed
    assert any("the probes were not run" in line for line in diagnosis.left_out)


def test_a_run_is_tried_out(blob_run):
    told = []
    diagnosis = volunet.doctor(blob_run, progress=lambda *words: told.append(words))
    assert told[-1] == ("probe", 4, 4) or any("probes" in line for line in diagnosis.left_out)


def test_a_data_set(blobs):
    told = []
    diagnosis = volunet.doctor(blobs, progress=lambda *words: told.append(words))
    assert (diagnosis.kind, diagnosis.subject) == ("dataset", str(blobs))
    assert told[-1] == ("look at the cases", 4, 4)
    # Four cases, whose objects are too small for a border: most looks at labels are left out.
    assert diagnosis.passed == (
        "unreadable-case",
        "spacing-outlier",
        "image-constant",
        "intensity-saturated",
        "label-empty",
        "duplicate-cases",
        "class-imbalance",
        "tiny-object-lost",
    )
    assert [line.split(":")[0] for line in diagnosis.left_out] == [
        "intensity-units",
        "label-flipped",
        "label-shifted",
        "classes-swapped",
        "intensity-outlier",
        "label-volume-outlier",
        "label-place-outlier",
        "label-noise",
    ]
    assert "label-noise: 4 cases to judge, 6 are needed" in diagnosis.left_out


def test_a_damaged_run_is_no_data_set(blob_run, tmp_path):
    run = shutil.copytree(blob_run, tmp_path / "run")
    (run / "run.json").unlink()
    with pytest.raises(ConfigError, match=r"run: no run\.json in it\.\nA run folder is what"):
        volunet.doctor(run)


def test_neither(tmp_path):
    with pytest.raises(DatasetError, match="nothing: no such file or folder"):
        volunet.doctor(tmp_path / "nothing")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetError, match=r"a folder without dataset\.json \(found: notes\.txt\)"):
        volunet.doctor(tmp_path)


def test_a_run_needs_the_extra(blob_run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="doctor: PyTorch is not installed"):
        volunet.doctor(blob_run)
    assert "torch" in sys.modules


def test_a_data_set_needs_no_pytorch(blobs):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import volunet; print(volunet.doctor(sys.argv[1]).is_healthy)"
    )
    words = [sys.executable, "-c", code, str(blobs)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "True", done.stderr
