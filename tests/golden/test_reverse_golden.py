"""The sources of some networks, line by line, as they were read and found good.

``python tests/golden/regenerate.py`` writes them anew.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest

HERE = Path(__file__).parent
SOURCES = HERE / "sources"


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"golden_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


regenerate = _imported(HERE / "regenerate.py")


def expected(name: str) -> str:
    return (SOURCES / f"{name}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", regenerate.CASES)
def test_the_source(name: str, tmp_path: Path) -> None:
    report = regenerate.make(name, tmp_path)
    assert report.source.read_text(encoding="utf-8") == expected(name)


SIZES = {
    "unet": (1, 16, 32, 48),
    "unet_trainable": (1, 32, 16, 16),
    "residual": (3, 37, 50),
    "dense": (1, 7, 10),
    "inception": (3, 9, 4),
    "sequence": (2, 35),
}
"""Channels, and a size that the network takes."""


@pytest.mark.parametrize("name", SIZES)
def test_the_source_that_is_kept_answers_as_the_file(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra 'train'")
    report = regenerate.make(name, tmp_path)
    network = _imported(SOURCES / f"{name}.py").load(str(report.weights))
    x = np.random.default_rng(1).standard_normal((2, *SIZES[name])).astype(np.float32)
    file = tmp_path / f"{name.removesuffix('_trainable')}.onnx"
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (want,) = session.run(None, {"x": x})
    with torch.no_grad():
        got = network(torch.from_numpy(x)).numpy()
    assert got.shape == want.shape
    # Relative to the largest answer: float32 sums in another order.
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("name", regenerate.PICTURES)
def test_the_network_of_a_picture_runs(name: str) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra 'train'")
    with torch.no_grad():
        answer = _imported(SOURCES / f"{name}.py").build()(torch.zeros(2, 1, 8, 12, 16))
    assert answer.shape == (2, {"picture_notes": 1, "picture_instance": 2}[name], 8, 12, 16)


def test_there_is_no_source_without_a_case() -> None:
    assert {path.stem for path in SOURCES.glob("*.py")} == set(regenerate.CASES)


def test_the_notes_network_is_four_classes_and_the_network() -> None:
    source = expected("unet")
    classes = [line.split("(")[0] for line in source.splitlines() if line.startswith("class ")]
    assert classes == ["class DoubleConv", "class Down", "class Up", "class Output", "class UNet"]
    assert source.count("\n") <= 80


def _run(*words: str) -> str:
    files = [str(path) for path in sorted(SOURCES.glob("*.py"))]
    command = [sys.executable, "-m", *words, *files]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=SOURCES, check=False)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def test_ruff_has_nothing_to_say() -> None:
    assert _run("ruff", "check", "--isolated", "--no-cache") == ""


def test_ruff_would_format_nothing() -> None:
    width = ("--line-length", "100", "--check", "--no-cache")
    assert _run("ruff", "format", "--isolated", *width) == ""


def test_mypy_has_nothing_to_say(pytestconfig: pytest.Config) -> None:
    """Strict, but that calling a module answers Any is PyTorch's affair."""
    pytest.importorskip("torch", reason="needs the extra 'train'")
    assert pytestconfig.cache is not None
    cache = str(pytestconfig.cache.mkdir("mypy_golden"))  # cold, PyTorch alone takes it 20 s
    keys = ("--strict", "--no-warn-return-any", "--config-file", "", "--cache-dir", cache)
    assert _run("mypy", *keys) == ""
