"""The benchmarks are listed, and what they import is there; none of them runs here."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUBJECTS = sorted(file.parent.name for file in (ROOT / "benchmarks").glob("*/command.py"))

IMPORT_ALL = """
import importlib, pathlib
for file in sorted(pathlib.Path("benchmarks").rglob("*.py")):
    if file.stem != "__main__":
        importlib.import_module(".".join(file.with_suffix("").parts).removesuffix(".__init__"))
"""


def python(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_every_subject_is_listed_with_how_long_it_takes() -> None:
    done = python("-m", "benchmarks")
    assert done.returncode == 0, done.stderr
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert len(SUBJECTS) > 10
    for name in SUBJECTS:
        assert any(unit in lines[name] for unit in (" min", "hour")), lines[name]


def test_another_name_is_refused_with_those_that_there_are() -> None:
    done = python("-m", "benchmarks", "speed")
    assert done.returncode == 2
    assert done.stderr.startswith("speed: no such benchmark; there are any_size, ")


def test_what_they_import_is_there() -> None:
    """A benchmark that nobody runs for a while must not be found broken when it is needed."""
    pytest.importorskip("torch", reason="needs the extra 'train'")
    done = python("-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr


def test_half_files_and_what_is_left_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks of benchmarks/kills, each on a file that is cut off."""
    pytest.importorskip("torch", reason="needs the extra 'train'")
    monkeypatch.syspath_prepend(ROOT)
    kills = importlib.import_module("benchmarks.kills.command")
    (tmp_path / "run.json").write_text('{"run_version": 1}')
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    assert (kills.half_files(tmp_path), kills.hidden(tmp_path)) == ([], [])
    (tmp_path / "run.json").write_text('{"run_ver')
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n3")
    for name in ("last.ckpt", "weights.safetensors", "curve.png", "case.npy"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / ".volunet-scratch-1-0").mkdir()
    found = {line.partition(":")[0] for line in kills.half_files(tmp_path)}
    assert found == {
        "run.json", "metrics.csv", "last.ckpt", "weights.safetensors", "curve.png", "case.npy",
    }  # fmt: skip
    assert kills.hidden(tmp_path) == [".volunet-scratch-1-0"]
