"""``volunet train``."""

from __future__ import annotations

import logging
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from volunet.cli.flags import flags_of
from volunet.cli.numbers import read_decimals, read_numbers, read_size, read_spacing
from volunet.cli.progress import show_progress
from volunet.errors import ConfigError
from volunet.extras import check_train_extra
from volunet.requests import TrainingRequest


def _read_batch_size(flag: str, text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.strip().isdecimal() or int(text) < 1:
        raise ConfigError(
            f"{flag} {text}",
            "neither a number of patches nor auto",
            "A batch has at least one patch.",
            "Give a whole number from 1 up, or auto.",
        )
    return int(text)


@flags_of(
    TrainingRequest,
    {
        "features": read_numbers,
        "patch_size": read_size,
        "batch_size": _read_batch_size,
        "spacing_mm": read_spacing,
        "dropout": read_decimals,
    },
)
def train(
    dataset: Annotated[
        Path, typer.Argument(help="A folder in MSD's or nnU-Net's layout, or a CSV.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run folder.")],
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file of choices, such as minutes = 60; flags count more."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder.")
    ] = False,
    *,
    asked: dict[str, Any],
) -> None:
    """Train a 3D U-Net on labelled scans. Ctrl-C ends it with a usable run folder."""
    if config is not None:
        asked = TrainingRequest.read(config) | asked
    if not {"minutes", "epochs"} & set(asked) and not resume:
        raise typer.BadParameter("give a budget: --minutes M or --epochs E")
    TrainingRequest.of(**asked)  # before anything is loaded that takes a while
    check_train_extra("train")
    from volunet.api.train import train as fit
    from volunet.training.fitting.processes import process_rank
    from volunet.training.record.run_folder import resume_command

    is_first = process_rank() == 0
    if not is_first:  # one of them speaks for all; an error each says for itself
        logging.getLogger("volunet").setLevel(logging.ERROR)
    with show_progress() if is_first else nullcontext() as show:
        result = fit(dataset, output, **asked, resume=resume, progress=show)
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
