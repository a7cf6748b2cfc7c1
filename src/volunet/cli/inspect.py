"""``volunet inspect``."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer
from rich.console import Console

from volunet.cli.json_output import JsonOption, check_json_target, write_json
from volunet.cli.numbers import read_numbers

WIDE: Final = 160
"""Columns of a table that goes to a file or a pipe, where nothing wraps."""


def inspect(
    model: Annotated[str, typer.Argument(help="An ONNX file, a run folder or preset:notes.")],
    size: Annotated[
        str | None, typer.Option(help="Spatial size of the input, such as 224x144x144.")
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Show a network's layers, sizes, receptive field, FLOPs and memory, without running it.

    Exit status 1 if it does not take the size, or has operators that are not known.
    """
    from volunet.api.inspect import inspect as inspect_model
    from volunet.cli.inspection_table import layer_table, summary_lines

    to_stdout = check_json_target(json_file)
    wanted = None if size is None else read_numbers("--size", size)
    report = inspect_model(model, wanted)
    if not to_stdout:
        width = None if sys.stdout.isatty() else WIDE
        console = Console(width=width)
        console.print(layer_table(report, console.width))
        for line in summary_lines(report):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    write_json(json_file, report.to_json())
    if not report.complete:
        raise typer.Exit(1)
