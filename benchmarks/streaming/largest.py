"""Table 5: the largest volume within a budget, by the predictions of memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring.report import markdown_table
from benchmarks.streaming.child import run_child
from benchmarks.streaming.scan import Size3

# Nothing heavy is imported up here: a child's highest resident set begins with its parent's.

BUDGETS_GB = (4, 8, 16)


def largest(folder: Path, plainconv: Path | None) -> str:
    """The largest volumes within budgets, by prediction."""
    model = folder / "notes.onnx"
    if not model.exists():
        run_child("export", "notes", str(model), "")
    found = run_child("largest", str(model))
    rows = [
        [
            f"{budget} GB", f"{_cube(f['cube'])}", f"{_cube(f['whole'])}",
            f"{(f['cube'] / f['whole']) ** 3:.0f}×", f"{f['plane']}×{f['plane']}×1000",
            f"{f['plane'] ** 2 * 1000 / f['whole'] ** 3:.0f}×",
        ]
        for budget, f in zip(BUDGETS_GB, found["budgets"], strict=True)
    ]  # fmt: skip
    table = markdown_table(
        ["budget", "cube, streamed", "cube, whole pass", "ratio",
         "1000 slices, streamed", "ratio to the whole pass"], rows,
    )  # fmt: skip
    return f"## Largest volume\n\n{table}"


def most_voxels(path: str) -> dict[str, Any]:
    from volunet.inference.model import open_model
    from volunet.inference.passes import whole_peak
    from volunet.inference.streamed import plan_scan
    from volunet.inference.streaming.planning import BudgetError
    from volunet.volumes.axes import affine_of
    from volunet.volumes.grid import Grid

    model = open_model(path, "openvino")

    def grid(size: Size3) -> Grid:
        return Grid(size, affine_of((1.0, 1.0, 1.0)))

    def fits_streamed(size: Size3, budget: int) -> bool:
        try:
            plan_scan(model, [Path("scan")], grid(size), budget, 50 * 10**9)
        except BudgetError:
            return False
        return True

    def fits_whole(size: Size3, budget: int) -> bool:
        peak = whole_peak(model, grid(size), grid(size))
        return peak is not None and peak <= budget

    budgets = []
    for gigabytes in BUDGETS_GB:
        budget = gigabytes * 10**9
        budgets.append({
            "cube": _most(lambda n, b=budget: fits_streamed((n, n, n), b), 64),
            "whole": _most(lambda n, b=budget: fits_whole((n, n, n), b), 16),
            "plane": _most(lambda n, b=budget: fits_streamed((1000, n, n), b), 64),
        })  # fmt: skip
    return {"budgets": budgets}


def _most(fits: Callable[[int], bool], step: int) -> int:
    """The largest multiple of a step up to 1536 that fits."""
    low, high = 0, 1536 // step
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * step) else (low, middle - 1)
    return low * step


def _cube(edge: int) -> str:
    return f"{edge}³"
