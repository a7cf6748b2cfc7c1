"""``volunet export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from volunet.cli.progress import show_count


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.")],
    answer: Annotated[
        str | None,
        typer.Option(help="What the model shall answer: logits (default), probabilities, labels."),
    ] = None,
    sizes: Annotated[int, typer.Option(help="How many sizes to check at.")] = 20,
    tolerance: Annotated[float, typer.Option(help="Largest absolute difference.")] = 1e-4,
    overwrite: Annotated[bool, typer.Option(help="Replace a file that is there.")] = False,
) -> None:
    """Export a trained network as one ONNX file, checked on every engine at many sizes.

    If one engine differs at one size, no file is left behind and the exit status is 1.
    """
    from volunet.api.export import export as export_run

    with show_count("export and check") as progress:
        report = export_run(
            run,
            output,
            answer=answer,
            sizes=sizes,
            tolerance=tolerance,
            overwrite=overwrite,
            progress=progress,
        )
    typer.echo(
        f"{output}: {len(report.rows)} checks passed, largest difference "
        f"{report.largest_difference:.1e}."
    )
