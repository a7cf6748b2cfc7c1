"""``volunet predict``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from volunet.cli.flags import flags_of
from volunet.cli.numbers import read_bytes, read_size
from volunet.cli.progress import show_count
from volunet.requests import PredictionRequest


@flags_of(PredictionRequest, {"memory": read_bytes, "window_size": read_size})
def predict(
    model: Annotated[Path, typer.Argument(help="An ONNX file or a run folder.")],
    scans: Annotated[list[Path], typer.Argument(help="Scans, and folders of scans.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new or empty folder.")],
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
    *,
    asked: dict[str, Any],
) -> None:
    """Predict scans of any size; of a segmentation, label maps on the scans' own grids."""
    PredictionRequest.of(**asked)  # before anything is loaded that takes a while
    from volunet.api.predict import Report
    from volunet.api.predict import predict as predict_scans
    from volunet.inference.model import ForeignModel

    # A line a scan tells little where nobody asked: the plan is for scans that are not run whole.
    tells = "memory" in asked or asked.get("mode", "auto") != "auto"
    report = Report(
        planned=lambda name, chosen: (
            typer.echo(f"{name}: {chosen}") if tells or chosen.streamed is not None else None
        ),
        compared=lambda name, dice: typer.echo(
            f"{name}: Dice of windows and exact pass: "
            + ", ".join(f"{label} {_dice(value)}" for label, value in dice.items())
        ),
    )
    with show_count("predict") as progress:
        written = predict_scans(
            model,
            scans,
            output,
            **asked,
            report=report,
            foreign=ForeignModel(spacing, orientation, normalisation, classes),
            progress=progress,
        )
    typer.echo(f"{output}: {len(written)} written.")


def _dice(value: float) -> str:
    return "absent" if math.isnan(value) else f"{value:.4f}"
