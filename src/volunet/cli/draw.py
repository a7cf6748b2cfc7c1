"""``volunet draw``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from volunet.cli.numbers import read_numbers


def draw(
    model: Annotated[str, typer.Argument(help="An ONNX file, a run folder or preset:notes.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .svg or .png to write.")],
    size: Annotated[
        str | None,
        typer.Option(help="Spatial size of the input, such as 224x144x144; default: formulas."),
    ] = None,
    style: Annotated[
        Literal["graph", "unet"], typer.Option(help="Every operator, or the levels of a U-Net.")
    ] = "graph",
    overwrite: Annotated[bool, typer.Option(help="Replace a file that is there.")] = False,
) -> None:
    """Draw a network as a picture."""
    from volunet.api.draw import draw as draw_model

    wanted = None if size is None else read_numbers("--size", size)
    typer.echo(draw_model(model, output, size=wanted, style=style, overwrite=overwrite))
