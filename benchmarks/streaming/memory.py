"""Tables 2 and 7: the peak of the process, measured from outside, beside the predicted one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring.report import markdown_table
from benchmarks.streaming.child import run_child
from benchmarks.streaming.scan import Size3, size_text

# Nothing heavy is imported up here: a child's highest resident set begins with its parent's.

MEMORY = "4GB"


def memory(folder: Path, plainconv: Path | None) -> str:
    """Peak of `volunet predict --memory`, from outside, beside the predicted one."""
    model = folder / "notes.onnx"
    if not model.exists():
        run_child("export", "notes", str(model), "")
    rows = [_measured(model, (depth, 512, 512), MEMORY, folder) for depth in (256, 1000)]
    return f"## Memory\n\n`volunet predict --memory {MEMORY}`.\n\n{_peaks(rows)}"


def depth(folder: Path, plainconv: Path | None) -> str:
    """Peak by the number of slices, where budget and plane leave one plan for all."""
    model = folder / "notes.onnx"
    if not model.exists():
        run_child("export", "notes", str(model), "")
    rows = [_measured(model, (depth, 128, 128), "1GB", folder) for depth in (256, 1000)]
    return f"## Memory by depth\n\n`volunet predict --memory 1GB`.\n\n{_peaks(rows)}"


def _peaks(rows: list[list[str]]) -> str:
    return markdown_table(
        ["scan", "peak", "predicted", "ratio", "seconds, all in all", "plan"], rows
    )


def _measured(model: Path, size: Size3, budget: str, folder: Path) -> list[str]:
    """Peak and time of one prediction, a row."""
    scan = folder / f"ct_{size_text(size)}.nii.gz"
    run_child("resample", size_text(size), str(scan))
    peak, seconds, text = _predict(model, scan, folder / f"out_{size_text(size)}", budget)
    scan.unlink()
    match = re.search(r"peak ([\d.]+) GB", text)
    predicted = float(match[1]) if match else float("nan")
    plan = next((line for line in text.splitlines() if "streamed" in line), text[-200:])
    depth, height, width = size
    return [
        f"{height}×{width}×{depth}", f"{peak / 1e9:.2f} GB", f"{predicted:.2f} GB",
        f"{predicted / (peak / 1e9):.2f}", f"{seconds:.0f}", plan.partition(": ")[2],
    ]  # fmt: skip


def _predict(model: Path, scan: Path, output: Path, budget: str) -> tuple[int, float, str]:
    """Peak in bytes, seconds and output of a prediction in a process of its own."""
    command = [
        str(Path(sys.executable).with_name("volunet")), "predict", str(model), str(scan),
        "-o", str(output), "--memory", budget,
    ]  # fmt: skip
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begin
        out.seek(0)
        text = out.read()
    if status != 0:
        sys.exit(f"{' '.join(command)}\n{text}")
    return usage.ru_maxrss * 1024, seconds, text
