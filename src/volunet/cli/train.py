"""``volunet train``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from volunet.cli.numbers import read_numbers, read_size, read_spacing
from volunet.cli.progress import show_progress


def train(
    dataset: Annotated[
        Path, typer.Argument(help="A folder in MSD's or nnU-Net's layout, or a CSV.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run folder.")],
    minutes: Annotated[float | None, typer.Option(help="Budget in minutes.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Budget in epochs instead.")] = None,
    fold: Annotated[
        str | None, typer.Option(help="K/N validates on fold K of N; all on none. Default 1/5.")
    ] = None,
    preset: Annotated[str, typer.Option(help="auto or notes.")] = "auto",
    features: Annotated[
        str | None, typer.Option(help="Channels of each level, such as 16,32,64.")
    ] = None,
    patch_size: Annotated[
        str | None, typer.Option(help="Training patches, DxHxW voxels, such as 64x96x96.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Patches in a batch.")] = None,
    spacing_mm: Annotated[
        str | None, typer.Option(help="Voxels of the model's grid, D,H,W in mm.")
    ] = None,
    optimizer: Annotated[Literal["adamw", "sgd"], typer.Option(help="The optimizer.")] = "adamw",
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest of the schedule; default 3e-3, sgd 1e-2.")
    ] = None,
    patience: Annotated[
        int, typer.Option(help="Validations without gain that end the fit; 0: never.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare patches.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out cases that fail their check.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder.")
    ] = False,
) -> None:
    """Train a 3D U-Net on labelled scans. Ctrl-C ends it with a usable run folder."""
    from volunet.api.train import train as fit

    if minutes is None and epochs is None and not resume:
        raise typer.BadParameter("give a budget: --minutes M or --epochs E")
    with show_progress() as show:
        result = fit(
            dataset,
            output,
            minutes=minutes,
            epochs=epochs,
            fold=fold,
            preset=preset,
            features=None if features is None else read_numbers("--features", features),
            patch_size=None if patch_size is None else read_size("--patch-size", patch_size),
            batch_size=batch_size,
            spacing_mm=None if spacing_mm is None else read_spacing("--spacing-mm", spacing_mm),
            optimizer=optimizer,
            learning_rate=learning_rate,
            patience=patience,
            workers=workers,
            seed=seed,
            skip_bad=skip_bad,
            resume=resume,
            progress=show,
        )
    dice = "" if math.isnan(result.best_dice) else f", validation Dice {result.best_dice:.3f}"
    ended = "interrupted after" if result.interrupted else "done,"
    typer.echo(
        f"{output}: {ended} {result.steps} steps in {result.elapsed_s / 60:.1f} minutes{dice}."
    )
    if result.interrupted:
        typer.echo(f"Go on with: volunet train {dataset} -o {output} --resume")
