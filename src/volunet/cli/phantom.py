"""``volunet phantom``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from volunet.cli.progress import show_count


def phantom(
    output: Annotated[Path, typer.Option("--output", "-o", help="A new or empty folder.")],
    cases: Annotated[int, typer.Option(min=1, help="How many.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
) -> None:
    """Make hip-and-femur CT phantoms with labels and landmarks, a data set to train on."""
    from volunet.api.phantom import phantom as make

    with show_count("make phantoms") as progress:
        make(output, cases=cases, seed=seed, progress=progress)
    typer.echo(f"{output}: {cases} phantoms.")
