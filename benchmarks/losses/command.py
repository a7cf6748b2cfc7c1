"""The same network for the same minutes under each loss, and how steep two of them are.

Both on the 160 training cases of MSD Task04_Hippocampus (see `measuring.hippocampus_cases`), a
tenth of which validates. A run is `volunet.train` with one loss: its validation Dice and gradient
norms. A trajectory is a short training under one loss, in which the gradients of cross-entropy and
of squared error are both measured at the same weights and on the same patches: that is the notes'
claim, that the surface of cross-entropy is the steeper. Runs and trajectories are kept in the work
folder, so that a call that was interrupted goes on.

    python -m benchmarks losses --work FOLDER --output FILE.md --plot docs/images/losses.png

takes about 28 minutes on 2 cores, and half of it with `--jobs 2`, which trains two networks side by
side with one thread each. `--data` is the folder that holds Task04_Hippocampus.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from matplotlib.figure import Figure

import volunet
from benchmarks.losses.cost import cost_section, measure_cost
from benchmarks.losses.steepness import (
    BATCH_SIZE,
    FEATURES,
    PAIR,
    PATCH_SIZE,
    VALIDATION,
    measure_trajectory,
    steepness_section,
)
from benchmarks.measuring.hippocampus_cases import Lines, find_data, training_and_test, write_table
from benchmarks.measuring.report import markdown_table, publish
from benchmarks.measuring.rows import Row, measure_missing, new_folder
from volunet.tasks.segmentation.losses import SegmentationLoss
from volunet.tasks.segmentation.plan import LossName

PACKAGES = ("volunet", "torch", "pytorch-lightning", "monai", "batchgeneratorsv2")

HEADER = (
    "loss",
    "measured (min)",
    "steps",
    "**validation Dice at the end**",
    "best",
    "gradient norm: first, middle, last third",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True, help="rows and runs")
    parser.add_argument("--losses", default=",".join(get_args(LossName)), help="such as dice,focal")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=1, help="networks at a time")
    parser.add_argument("--output", type=Path, help="write the tables here as well")
    parser.add_argument("--plot", type=Path, help="draw gradient norms and Dice here")
    arguments = parser.parse_args()
    names = arguments.losses.split(",")
    for name in names:
        SegmentationLoss(name)  # a wrong one shows before anything is trained
    find_data(arguments.data)
    origin = {"seed": arguments.seed, "jobs": arguments.jobs}
    wanted: list[Row] = [
        {"kind": "run", "loss": name, "minutes": arguments.minutes, **origin} for name in names
    ]
    wanted += [{"kind": "trajectory", "loss": name, **origin} for name in PAIR]
    wanted.append({"kind": "cost", **origin})
    rows = measure_missing(
        arguments.work,
        wanted,
        partial(measure, data=arguments.data, work=arguments.work),
        jobs=arguments.jobs,
    )
    runs, trajectories, costs = (
        [row for row in rows if row["kind"] == kind] for kind in ("run", "trajectory", "cost")
    )
    if arguments.plot:
        draw(runs, trajectories, arguments.plot)
    parts = (runs_section(runs), steepness_section(trajectories), cost_section(costs))
    publish("Losses", "\n\n".join(parts), PACKAGES, arguments.output)


def measure(settings: Row, *, data: Path, work: Path) -> Row:
    """One row, of its kind."""
    if settings["kind"] == "cost":
        return measure_cost(settings, data)
    folder = new_folder(work / f"{settings['kind']}-{settings['loss']}-seed{settings['seed']}")
    measured = measure_run if settings["kind"] == "run" else measure_trajectory
    return measured(settings, data, folder)


def measure_run(settings: Row, data: Path, folder: Path) -> Row:
    """Train by `volunet.train`; Dice, and the curves as (seconds, figure)."""
    training, _ = training_and_test(find_data(data))
    trained = volunet.train(
        write_table(training, folder / "training.csv"),
        folder / "run",
        minutes=settings["minutes"],
        fold=str(VALIDATION),
        features=FEATURES,
        patch_size=PATCH_SIZE,
        batch_size=BATCH_SIZE,
        precision="float32",
        loss=settings["loss"],
        seed=settings["seed"],
        progress=Lines(settings["loss"]),
    )
    if trained.interrupted:
        raise KeyboardInterrupt  # a shorter training is no row
    metrics = folder / "run" / "metrics.csv"
    dice = read_curve(metrics, "val_dice")
    return {
        "measured_minutes": trained.elapsed_s / 60,
        "steps": trained.steps,
        "last_dice": dice[-1][1],
        "best_score": trained.best_score,
        "val_dice": dice,
        "gradient_norm": read_curve(metrics, "gradient_norm"),
    }


def read_curve(file: Path, name: str) -> list[tuple[float, float]]:
    """(seconds, figure) of each row of a ``metrics.csv`` that has the figure."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [(float(row["elapsed_s"]), float(row[name])) for row in rows if row[name]]


def runs_section(runs: Sequence[Row]) -> str:
    """How the runs were made, and their table, Markdown."""
    jobs = runs[0]["jobs"]
    place = "one after the other" if jobs == 1 else "two side by side with one thread each"
    features = ", ".join(map(str, FEATURES))
    patch = "×".join(map(str, PATCH_SIZE))
    how = (
        f"144 training and 16 validation cases of Task04_Hippocampus, a network of {features} "
        f"channels, patches of {patch} voxels, batches of {BATCH_SIZE}, float32, AdamW, "
        f"{runs[0]['minutes']:g} minutes with everything in them, seed {runs[0]['seed']}; {place}. "
        f"Dice is the mean of both classes on a patch of each validation case. Gradient norms are "
        f"by all weights, before clipping, medians over a third of the fit."
    )
    return f"{how}\n\n{markdown_table(HEADER, [run_cells(row) for row in runs])}"


def run_cells(row: Row) -> list[str]:
    norms = [norm for _, norm in row["gradient_norm"]]
    third = -(-len(norms) // 3)
    medians = [statistics.median(norms[i : i + third]) for i in range(0, len(norms), third)]
    return [
        row["loss"],
        f"{row['measured_minutes']:.2f}",
        str(row["steps"]),
        f"**{row['last_dice']:.3f}**",
        f"{row['best_score']:.3f}",
        ", ".join(f"{median:.2g}" for median in medians),
    ]


def draw(runs: Sequence[Row], trajectories: Sequence[Row], file: Path) -> None:
    """Gradient norms and Dice of the runs by time, and both losses at the same weights by step."""
    figure = Figure(figsize=(13, 4.2), dpi=110, layout="constrained")
    norms, dice, steep = figure.subplots(1, 3)
    for number, row in enumerate(runs):
        norms.plot(*_minutes(row["gradient_norm"]), color=f"C{number}", label=row["loss"])
        dice.plot(*_minutes(row["val_dice"]), "o-", ms=3, color=f"C{number}", label=row["loss"])
    norms.set_yscale("log")
    norms.set(xlabel="minutes", ylabel="gradient norm by weights", title="Each loss' own training")
    dice.set(xlabel="minutes", ylabel="validation Dice", ylim=(0, 1), title="Validation")
    dice.legend(fontsize=8, loc="lower right")
    for row, style in zip(trajectories, ("o-", "s--"), strict=True):
        for name, colour in zip(PAIR, ("#d1495b", "#00798c"), strict=True):
            steep.plot(
                [point["step"] for point in row["points"]],
                [point[name]["weights"] for point in row["points"]],
                style,
                ms=4,
                color=colour,
                label=f"{name}, trained under {row['loss']}",
            )
    steep.set_xscale("symlog", linthresh=1)
    steep.set_yscale("log")
    steep.set(xlabel="step", ylabel="gradient norm by weights", title="At the same weights")
    steep.legend(fontsize=8)
    for axes in (norms, dice, steep):
        axes.grid(alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def _minutes(curve: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [seconds / 60 for seconds, _ in curve], [figure for _, figure in curve]


if __name__ == "__main__":
    main()
