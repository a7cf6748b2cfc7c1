"""``volunet demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from volunet.cli.progress import show_progress


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="A new or empty folder.")] = Path(
        "volunet-demo"
    ),
    minutes: Annotated[float, typer.Option(help="Budget of the training.")] = 3.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
) -> None:
    """Try everything: phantoms, train, evaluate, export, check, predict, and a report."""
    from volunet.api.demo import demo as run_demo

    with show_progress() as show:
        result = run_demo(output, minutes=minutes, seed=seed, progress=show)
    typer.echo(f"Mean foreground Dice on unseen phantoms: {result.mean_dice:.3f}")
    typer.echo(f"Report: {result.report}")
    typer.echo(f"Try it: volunet predict {result.model} SCAN.nii.gz -o predictions")
