"""The tables that commands print."""

from __future__ import annotations

import math

from rich.markup import escape
from rich.table import Table

from volunet.exporting.check import CheckReport
from volunet.inference.evaluation import Evaluation


def scores_table(evaluation: Evaluation) -> Table:
    """Mean ± SD of each score, a row a class."""
    table = Table(title=f"{evaluation.num_cases} cases, mean ± SD")
    table.add_column("class")
    for name in ("Dice", "surface Dice", "HD95 (mm)", "volume difference (ml)", "left out"):
        table.add_column(name, justify="right")
    for row in evaluation.summary():
        table.add_row(
            escape(row.class_name),
            row.dice.text(3),
            row.surface_dice.text(3),
            row.hd95_mm.text(2),
            row.volume_difference_ml.text(2),
            str(row.hd95_mm.left_out),
        )
    return table


def check_table(report: CheckReport) -> Table:
    """Largest absolute difference, a row a size and a column an engine."""
    engines = sorted({row.engine for row in report.rows})
    table = Table(
        title=f"max abs difference against {report.reference}, tolerance {report.tolerance:g}"
    )
    table.add_column("size (D×H×W)")
    for engine in engines:
        table.add_column(engine, justify="right")
    cells = {(row.size, row.engine): row for row in report.rows}
    for size in dict.fromkeys(row.size for row in report.rows):
        row = [cells.get((size, engine)) for engine in engines]
        table.add_row(
            "×".join(map(str, size)),
            *("–" if cell is None else _cell(cell.max_abs_difference, cell.fault) for cell in row),
        )
    return table


def _cell(difference: float | None, fault: str) -> str:
    if difference is None or math.isnan(difference):
        return f"[red]{escape(fault[:60])}[/red]"
    return f"[red]{difference:.1e}[/red]" if fault else f"{difference:.1e}"
