"""`evaluate`: score predictions against references."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from volunet.errors import OutputError
from volunet.tasks.segmentation.scores import Evaluation
from volunet.tasks.segmentation.scores import evaluate as score_files


def evaluate(
    predictions: str | Path,
    references: str | Path,
    output: str | Path | None = None,
    *,
    surface_tolerance_mm: float = 1.0,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score label maps, case by case and class by class.

    Args:
        predictions: A folder of label maps, or one.
        references: A folder of label maps of the same names, or one.
        output: A CSV file for the scores.
        surface_tolerance_mm: Distance in mm within which two surfaces agree.
        overwrite: Replace the CSV file if it exists.
        progress: Called with the cases done and their number.

    Raises:
        OutputError: The CSV file exists.
        VolumeError: A pair is not on one grid, or a file cannot be read.
        DatasetError: No prediction has a reference.
    """
    if output is not None and Path(output).exists() and not overwrite:
        raise OutputError(
            output,
            "exists already",
            "Scores go to a new file.",
            "Name another, or pass --overwrite.",
        )
    evaluation = score_files(
        Path(predictions),
        Path(references),
        surface_tolerance_mm=surface_tolerance_mm,
        progress=progress,
    )
    if output is not None:
        evaluation.write_csv(Path(output))
    return evaluation
