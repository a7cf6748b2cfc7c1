"""``volunet doctor``: what it prints, its JSON, its exit status."""

from __future__ import annotations

import json

import pytest

from volunet.diagnosing.diagnosis import Consequence, Diagnosis
from volunet.diagnosing.finding import Finding

HIGH = Finding(
    "divergence",
    "step 60",
    "train loss is no [finite] number at step 60.",
    "A learning rate that is too high.",
    f"volunet train {'long/' * 30}scans -o NEW --learning-rate 0.0003",
    "high",
    ("case_1", "case_2"),
)
LOW = Finding("no-validation", "the split", "all 12 cases train.", "Nobody.", "Validate.", "low")


@pytest.fixture
def finds(monkeypatch):
    """Make ``volunet doctor`` find something, whatever the arguments; these are answered."""
    calls = []

    def arrange(*findings):
        def doctor(path, *, probe, progress):
            calls.append((str(path), probe))
            progress("probe", 3, 3)
            return Diagnosis(
                "run",
                "scans/run",
                findings,
                (Consequence("plateau", "the training loss", "divergence"),),
                ("divergence", "plateau", "overfitting", "frozen-layers"),
                ("batch-too-small: noise scale: the probes were not run",),
            )

        monkeypatch.setattr("volunet.api.doctor.doctor", doctor)
        return calls

    return arrange


def test_blocks(volunet, finds):
    calls = finds(HIGH, LOW)
    status, out, _ = volunet("doctor", "scans/run")
    assert status == 1
    assert calls == [("scans/run", True)]
    assert [line.strip() for line in out.splitlines()] == [
        "scans/run: 2 findings",
        "",
        "high certainty  divergence",
        "where     step 60",
        "cases     case_1, case_2",
        "evidence  train loss is no [finite] number at step 60.",
        "cause     A learning rate that is too high.",
        # A command is not wrapped.
        f"change    {HIGH.change}",
        "",
        "low certainty  no-validation",
        "where     the split",
        "evidence  all 12 cases train.",
        "cause     Nobody.",
        "change    Validate.",
        "",
        "Seen as well, and explained: plateau (the training loss), by divergence.",
        "Looked for and not found: overfitting, frozen-layers.",
        "Left out: batch-too-small: noise scale: the probes were not run.",
    ]


@pytest.mark.parametrize(("findings", "status"), [((), 0), ((LOW,), 0), ((HIGH,), 1)])
def test_status(volunet, finds, findings, status):
    finds(*findings)
    ended = volunet("doctor", "scans/run", "--no-probe")
    assert ended.status == status
    count = {0: "no findings", 1: "1 finding"}[len(findings)]
    assert ended.out.splitlines()[0] == f"scans/run: {count}"


def test_no_probe(volunet, finds):
    calls = finds()
    volunet("doctor", "scans/run", "--no-probe")
    assert calls == [("scans/run", False)]


def test_json(volunet, finds, tmp_path):
    finds(HIGH)
    status, out, _ = volunet("doctor", "scans/run", "--json", "-")
    assert status == 1
    content = json.loads(out)
    assert content["findings"][0]["fault"] == "divergence"
    assert content["healthy"] is False
    file = tmp_path / "doctor.json"
    assert volunet("doctor", "scans/run", "--json", file).out.startswith("scans/run: 1 finding")
    assert json.loads(file.read_text()) == content
    ended = volunet("doctor", "scans/run", "--json", file)
    assert ended.status == 2
    assert "doctor.json: exists already" in ended.err


def test_wrong_input(volunet, tmp_path):
    status, out, err = volunet("doctor", tmp_path / "nothing")
    assert (status, out) == (2, "")
    assert err.startswith(f"{tmp_path}/nothing: no such file or folder.\n")


def test_a_real_run(volunet, blob_run):
    status, out, _ = volunet("doctor", blob_run, "--no-probe", "--json", "-")
    content = json.loads(out)
    assert (content["kind"], content["subject"]) == ("run", str(blob_run))
    assert status == (0 if content["healthy"] else 1)
    assert "loss-does-not-fit" in content["passed"]
