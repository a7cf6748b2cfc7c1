"""``volunet reverse``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from volunet.cli.json_output import JsonOption, check_json_target, write_json


def reverse(
    model: Annotated[Path, typer.Argument(help="An ONNX file, or Netron's SVG picture of one.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .py file to write.")],
    trainable: Annotated[
        bool, typer.Option("--trainable", help="Identity batch norms behind the convolutions.")
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave gaps that raise for unknown operators.")
    ] = False,
    verified: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare with ONNX Runtime.")
    ] = True,
    overwrite: Annotated[bool, typer.Option(help="Replace files that are there.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Write readable PyTorch of an ONNX file, or of a picture of one, and prove it the same.

    Exit status 1 if the source computes something else than the file.
    """
    from volunet.api.reverse import reverse as reverse_model
    from volunet.cli.reverse_report import reverse_text

    to_stdout = check_json_target(json_file)
    console = Console(stderr=True)
    with console.status("reading") as status:
        report = reverse_model(
            model, output, trainable=trainable, partial=partial, verified=verified,
            overwrite=overwrite, progress=lambda text: status.update(text),
        )  # fmt: skip
    if not to_stdout:
        Console(emoji=False).print(
            reverse_text(report), highlight=False, markup=False, soft_wrap=True
        )
    write_json(json_file, report.to_json())
    if not report.passed:
        raise typer.Exit(1)
