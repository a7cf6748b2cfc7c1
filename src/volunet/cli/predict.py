"""``volunet predict``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from volunet.cli.numbers import read_bytes, read_size
from volunet.cli.progress import show_count

if TYPE_CHECKING:
    from volunet.inference.passes import Mode


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
    memory: Annotated[
        str | None,
        typer.Option(help="What the process may take at most, such as 4GB; default: what is free."),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(help="auto: whole where that fits in memory, else streamed; whole; streamed."),
    ] = "auto",
    windows: Annotated[
        bool,
        typer.Option("--windows", help="Overlapping windows with Gaussian blending: not exact."),
    ] = False,
    window_size: Annotated[
        str | None,
        typer.Option(help="Their size, such as 96x96x96; default: the training patches'."),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="With --windows, predict exactly too; print their Dice."),
    ] = False,
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
    from volunet.api.predict import Report
    from volunet.api.predict import predict as segment
    from volunet.inference.model import ForeignModel

    bytes_allowed = None if memory is None else read_bytes("--memory", memory)
    size = None if window_size is None else read_size("--window-size", window_size)
    # A line a scan tells little where nobody asked: the plan is for scans that are not run whole.
    asked = memory is not None or mode != "auto"
    report = Report(
        planned=lambda name, chosen: (
            typer.echo(f"{name}: {chosen}") if asked or chosen.streamed is not None else None
        ),
        compared=lambda name, dice: typer.echo(
            f"{name}: Dice of windows and exact pass: "
            + ", ".join(f"{label} {_dice(value)}" for label, value in dice.items())
        ),
    )
    with show_count("predict") as progress:
        written = segment(
            model,
            scans,
            output,
            engine=engine,
            probabilities=probabilities,
            resume=resume,
            threads=threads,
            memory=bytes_allowed,
            mode=_mode(mode),
            windows=windows,
            window_size=size,
            compare=compare,
            report=report,
            foreign=ForeignModel(spacing, orientation, normalisation, classes),
            progress=progress,
        )
    typer.echo(f"{output}: {len(written)} written.")


def _mode(text: str) -> Mode:
    return cast("Mode", text)  # `choose_pass` refuses what is none


def _dice(value: float) -> str:
    return "absent" if math.isnan(value) else f"{value:.4f}"
