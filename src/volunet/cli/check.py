"""``volunet check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from volunet.cli.json_output import JsonOption, check_json_target, write_json
from volunet.cli.progress import show_count


def check(
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    sizes: Annotated[int, typer.Option(help="How many sizes to check at.")] = 20,
    tolerance: Annotated[float, typer.Option(help="Largest absolute difference.")] = 1e-4,
    json_file: JsonOption = None,
) -> None:
    """Run a model file on every engine at many sizes, and compare the answers.

    Exit status 1 if an engine fails or differs.
    """
    from volunet.api.check import check as check_model
    from volunet.cli.tables import check_table

    to_stdout = check_json_target(json_file)
    with show_count("check") as progress:
        report = check_model(model, sizes=sizes, tolerance=tolerance, progress=progress)
    if not to_stdout:
        console = Console()
        console.print(check_table(report))
        passed = len(report.rows) - len(report.faults)
        console.print(
            f"{model}: {passed} of {len(report.rows)} passed, largest difference "
            f"{report.largest_difference:.1e}.",
            highlight=False,
            soft_wrap=True,
        )
    write_json(json_file, report.to_json())
    if not report.passed:
        raise typer.Exit(1)
