"""``volunet predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from volunet.cli.progress import show_count


def predict(
    model: Annotated[Path, typer.Argument(help="An ONNX file or a run folder.")],
    scans: Annotated[list[Path], typer.Argument(help="Scans, and folders of scans.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new or empty folder.")],
    engine: Annotated[str, typer.Option(help="openvino, onnxruntime, torch or auto.")] = "auto",
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="A probability for each class, not labels.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the predictions that are there already.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; default: the engine's own.")
    ] = None,
    spacing: Annotated[
        str | None, typer.Option(help="Only for an ONNX without a plan: native, or D,H,W in mm.")
    ] = None,
    orientation: Annotated[
        str | None, typer.Option(help="Likewise: such as RAS; any leaves the scan's.")
    ] = None,
    normalisation: Annotated[
        str | None,
        typer.Option(help="Likewise: none, zscore or clip_zscore:LOW,HIGH,MEAN,STD."),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Likewise: names of the channels, background first.")
    ] = None,
) -> None:
    """Segment scans of any size, and write label maps on their own grids."""
    from volunet.api.predict import predict as segment
    from volunet.inference.model import ForeignModel

    with show_count("predict") as progress:
        written = segment(
            model,
            scans,
            output,
            engine=engine,
            probabilities=probabilities,
            resume=resume,
            threads=threads,
            foreign=ForeignModel(spacing, orientation, normalisation, classes),
            progress=progress,
        )
    typer.echo(f"{output}: {len(written)} written.")
