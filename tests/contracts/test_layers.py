"""Imports point only downward, and prediction does without PyTorch."""

from __future__ import annotations

import graphlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from volunet.volumes import Volume, read_volume, write_volume

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def lint_imports(folder: Path, config: Path) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    words = [sys.executable, "-c", command, "--no-logo", "--no-cache", "--config", str(config)]
    return subprocess.run(
        words,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_point_only_downward() -> None:
    pytest.importorskip("importlinter", reason="needs the extra 'dev'")
    done = lint_imports(ROOT / "src", ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stdout
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = len(settings["tool"]["importlinter"]["contracts"])
    assert f"{contracts} kept, 0 broken" in done.stdout


def test_an_import_that_points_upward_breaks_the_contract(tmp_path: Path) -> None:
    pytest.importorskip("importlinter", reason="needs the extra 'dev'")
    package = tmp_path / "layered"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cli.py").touch()
    (package / "nets.py").write_text("import layered.cli\n")
    config = tmp_path / "layers.toml"
    config.write_text(
        '[tool.importlinter]\nroot_package = "layered"\n[[tool.importlinter.contracts]]\n'
        'name = "Down"\ntype = "layers"\nlayers = ["layered.cli", "layered.nets"]\n'
    )
    done = lint_imports(tmp_path, config)
    assert done.returncode == 1
    assert "0 kept, 1 broken" in done.stdout


def test_no_modules_import_each_other() -> None:
    """Not even for types alone: whoever reads one of a circle has to read them all."""
    grimp = pytest.importorskip("grimp", reason="needs the extra 'dev'")
    graph = grimp.build_graph("volunet", cache_dir=None)
    assert len(graph.modules) > 300
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())
    list(graphlib.TopologicalSorter(imports).static_order())  # raises for a circle, and names it


@pytest.mark.parametrize(
    "statement",
    [
        "import volunet",
        "import volunet.cli.main",
        "import volunet.api.predict, volunet.api.check, volunet.api.evaluate, volunet.api.phantom",
        "import volunet.api.inspect, volunet.api.draw, volunet.api.shapes",
        "from volunet import Plan, Volume, check, evaluate, phantom, predict, read_volume",
        "import volunet.tasks.answer, volunet.tasks.segmentation.answer",
        "import volunet.graph, volunet.inference, volunet.exporting.check, volunet.datasets",
    ],
)
def test_pytorch_is_not_imported(statement: str) -> None:
    done = python(f"import sys\n{statement}\nprint('torch' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # what an import of PyTorch then says: ModuleNotFoundError
import volunet
model, scan, output = sys.argv[1:]
volunet.predict(model, [scan], output, threads=1)
report = volunet.check(model, sizes=3)
print(volunet.inspect(model, (9,)).output_size)
volunet.draw(model, output + ".svg")
volunet.draw(model, output + ".png", style="unet")
engines = {row.engine for row in report.rows}
print(report.passed, report.reference, *engines, len(report.rows))
try:
    volunet.export("run", "model.onnx")
except volunet.errors.ConfigError as error:
    print(error.found)
"""


def test_prediction_and_check_work_where_pytorch_is_not_installed(
    tiny_onnx: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(50, 120, (5, 9, 7)).astype(np.float32)
    scan = Volume.of_array(noise, (2.0, 1.5, 1.0))
    write_volume(scan, tmp_path / "scan.nii.gz")
    done = python(WITHOUT_TORCH, tiny_onnx, tmp_path / "scan.nii.gz", tmp_path / "out")
    assert done.stdout.splitlines() == [
        "(1, 3, 9, 9, 9)",
        "True onnxruntime openvino 3",
        "PyTorch is not installed",
    ], done.stderr
    written = read_volume(tmp_path / "out" / "scan.nii.gz")
    assert written.shape == (5, 9, 7)
    assert set(np.unique(written.array)) <= {0, 5, 300}
    assert len(np.unique(written.array)) > 1
