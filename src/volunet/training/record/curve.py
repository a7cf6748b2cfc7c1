"""The picture of a fit: losses and validation score by step."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.figure import Figure

from volunet.plan import ValidationScore
from volunet.training.record.run_folder import CURVE_FILE
from volunet.volumes.atomic import atomic_path


def read_metrics(file: Path) -> dict[str, list[tuple[int, float]]]:
    """The figures of a ``metrics.csv``: name → (step, value) in the order of the steps."""
    series: dict[str, list[tuple[int, float]]] = {}
    if not file.is_file():
        return series
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            for name, value in row.items():
                if name not in ("step", "epoch") and value:
                    series.setdefault(name, []).append((int(row["step"]), float(value)))
    return series


def draw_curve(metrics_file: Path, folder: Path, score: ValidationScore) -> None:
    """Draw ``curve.png`` from a ``metrics.csv``; nothing is drawn before the first figures."""
    series = read_metrics(metrics_file)
    if not series:
        return
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    losses = figure.subplots()
    scores = losses.twinx()
    styles = (
        (losses, "train_loss", "training loss", "#7f8c9b", "-"),
        (losses, "val_loss", "validation loss", "#d1495b", "-"),
        (scores, score.validation, f"validation {score.title}", "#00798c", "-"),
        (scores, score.training, f"training {score.title}", "#00798c", "--"),
    )
    lines = []
    for axes, name, label, colour, style in styles:
        points = series.get(name, [])
        if points:
            marker = "o" if len(points) < 40 else ""
            x, y = zip(*points, strict=True)
            lines += axes.plot(x, y, style, marker=marker, ms=3, color=colour, label=label)
    losses.set_xlabel("step")
    losses.set_ylabel("loss")
    losses.set_ylim(bottom=0.0)
    scores.set_ylabel(score.title)
    scores.set_ylim(*score.limits)
    losses.grid(alpha=0.3)
    losses.legend(handles=lines, loc="center right")
    with atomic_path(folder / CURVE_FILE) as temporary:
        figure.savefig(temporary, format="png")
