"""``volunet check``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from volunet.cli.progress import show_count
from volunet.errors import OutputError


def check(
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    sizes: Annotated[int, typer.Option(help="How many sizes to check at.")] = 20,
    tolerance: Annotated[float, typer.Option(help="Largest absolute difference.")] = 1e-4,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the table here; - for stdout.")
    ] = None,
) -> None:
    """Run a model file on every engine at many sizes, and compare the answers.

    Exit status 1 if an engine fails or differs.
    """
    from volunet.api.check import check as check_model
    from volunet.cli.tables import check_table
    from volunet.volumes import atomic_path

    to_stdout = json_file is not None and str(json_file) == "-"
    if json_file is not None and not to_stdout and json_file.exists():
        raise OutputError(
            json_file, "exists already", "The table goes to a new file.", "Name another."
        )
    with show_count("check") as progress:
        report = check_model(model, sizes=sizes, tolerance=tolerance, progress=progress)
    text = json.dumps(report.to_json(), indent=2)
    if to_stdout:
        typer.echo(text)
    else:
        console = Console()
        console.print(check_table(report))
        passed = len(report.rows) - len(report.faults)
        console.print(
            f"{model}: {passed} of {len(report.rows)} passed, largest difference "
            f"{report.largest_difference:.1e}.",
            highlight=False,
            soft_wrap=True,
        )
    if json_file is not None and not to_stdout:
        with atomic_path(json_file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if not report.passed:
        raise typer.Exit(1)
