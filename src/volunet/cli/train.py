"""``volunet train``."""

from __future__ import annotations

import logging
import math
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from volunet.cli.numbers import read_decimals, read_numbers, read_size, read_spacing
from volunet.cli.progress import show_progress
from volunet.extras import check_train_extra
from volunet.plan import Augmentation, NormName


def train(
    dataset: Annotated[
        Path, typer.Argument(help="A folder in MSD's or nnU-Net's layout, or a CSV.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run folder.")],
    minutes: Annotated[float | None, typer.Option(help="Budget in minutes.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Budget in epochs instead.")] = None,
    fold: Annotated[
        str | None,
        typer.Option(
            help="K/N validates on fold K of N; all trains a network a fold and averages them; "
            "none trains on every case. Default 1/5."
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help="auto or notes.")] = "auto",
    features: Annotated[
        str | None, typer.Option(help="Channels of each level, such as 16,32,64.")
    ] = None,
    patch_size: Annotated[
        str | None, typer.Option(help="Training patches, DxHxW voxels, such as 64x96x96.")
    ] = None,
    batch_size: Annotated[
        str | None, typer.Option(help="Patches in a batch, or auto.", metavar="N|auto")
    ] = None,
    spacing_mm: Annotated[
        str | None, typer.Option(help="Voxels of the model's grid, D,H,W in mm.")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help="The loss, such as dice; default dice_cross_entropy.")
    ] = None,
    norm: Annotated[NormName | None, typer.Option(help="Norm layers; default batch.")] = None,
    dropout: Annotated[
        str, typer.Option(help="Dropped channels, 0…1: one number, or one a level: 0,0,0.1,0.2.")
    ] = "0",
    l1: Annotated[float, typer.Option(help="Weight of the absolute weights in the loss.")] = 0.0,
    l2: Annotated[float | None, typer.Option(help="Weight decay; default 0.01, sgd 3e-5.")] = None,
    augmentation: Annotated[
        Augmentation | None,
        typer.Option(help="How much patches are changed; default by the number of cases."),
    ] = None,
    optimizer: Annotated[Literal["adamw", "sgd"], typer.Option(help="The optimizer.")] = "adamw",
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest of the schedule; default 3e-3, sgd 1e-2.")
    ] = None,
    patience: Annotated[
        int, typer.Option(help="Validations without gain that end the fit; 0: never.")
    ] = 0,
    precision: Annotated[
        Literal["float32", "bfloat16"] | None,
        typer.Option(help="Of activations; default the quicker, measured."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that prepare patches; default 1.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out cases that fail their check.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder.")
    ] = False,
) -> None:
    """Train a 3D U-Net on labelled scans. Ctrl-C ends it with a usable run folder."""
    if minutes is None and epochs is None and not resume:
        raise typer.BadParameter("give a budget: --minutes M or --epochs E")
    check_train_extra("train")
    from volunet.api.train import train as fit
    from volunet.training.processes import process_rank
    from volunet.training.run_folder import resume_command

    is_first = process_rank() == 0
    if not is_first:  # one of them speaks for all; an error each says for itself
        logging.getLogger("volunet").setLevel(logging.ERROR)
    with show_progress() if is_first else nullcontext() as show:
        result = fit(
            dataset,
            output,
            minutes=minutes,
            epochs=epochs,
            fold=fold,
            preset=preset,
            features=None if features is None else read_numbers("--features", features),
            patch_size=None if patch_size is None else read_size("--patch-size", patch_size),
            batch_size=_read_batch_size(batch_size),
            spacing_mm=None if spacing_mm is None else read_spacing("--spacing-mm", spacing_mm),
            loss=loss,
            norm=norm,
            dropout=read_decimals("--dropout", dropout),
            l1=l1,
            l2=l2,
            augmentation=augmentation,
            optimizer=optimizer,
            learning_rate=learning_rate,
            patience=patience,
            precision=precision,
            workers=workers,
            seed=seed,
            skip_bad=skip_bad,
            resume=resume,
            progress=show,
        )
    if not is_first:
        return
    title, best = result.plan.task.score.title, result.best_score
    score = "" if math.isnan(best) else f", validation {title} {best:.3f}"
    ended = "interrupted after" if result.interrupted else "done,"
    typer.echo(
        f"{output}: {ended} {result.steps} steps in {result.elapsed_s / 60:.1f} minutes{score}; "
        f"steps waited for patches {result.waiting_share:.0%} of the time."
    )
    if result.interrupted:
        typer.echo(f"Go on with: {resume_command(dataset, output)}")


def _read_batch_size(text: str | None) -> int | Literal["auto"] | None:
    if text is None or text == "auto":
        return None if text is None else "auto"
    if not re.fullmatch(r"[1-9]\d*", text):
        raise typer.BadParameter(f"--batch-size {text}: a number of patches, or auto")
    return int(text)
