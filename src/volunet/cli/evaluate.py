"""``volunet evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from volunet.cli.progress import show_count


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="A folder of label maps, or one.")],
    references: Annotated[Path, typer.Argument(help="A folder of the same names, or one.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A CSV file for the scores.")
    ] = None,
    surface_tolerance_mm: Annotated[
        float, typer.Option(help="Distance within which surfaces agree, in mm.")
    ] = 1.0,
    overwrite: Annotated[bool, typer.Option(help="Replace the CSV file.")] = False,
) -> None:
    """Score label maps: Dice, surface Dice, HD95 and volume difference, by case and class."""
    from volunet.api.evaluate import evaluate as score
    from volunet.cli.tables import scores_table

    with show_count("evaluate") as progress:
        evaluation = score(
            predictions,
            references,
            output,
            surface_tolerance_mm=surface_tolerance_mm,
            overwrite=overwrite,
            progress=progress,
        )
    console = Console()
    console.print(scores_table(evaluation))
    for note in evaluation.notes:
        console.print(note, highlight=False, markup=False)
    for title, names in (
        ("References without a prediction", evaluation.missing),
        ("Predictions without a reference", evaluation.extra),
    ):
        if names:
            console.print(
                f"{title}: {', '.join(names)}", highlight=False, markup=False, soft_wrap=True
            )
    name, value = evaluation.headline
    console.print(f"{name[0].upper()}{name[1:]}: {value:.3f}")
