"""The tables that commands print."""

from __future__ import annotations

import math

from rich.markup import escape
from rich.table import Table

from volunet.exporting.check import CheckReport
from volunet.tasks.scores import Scores


def scores_table(scores: Scores) -> Table:
    """Means over the cases, a row a class or whatever the task has."""
    table = Table(title=f"{scores.num_cases} cases, mean ± SD")
    first, *others = scores.header
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    for row in scores.table():
        table.add_row(*map(escape, row))
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
