"""Train on 160 cases of MSD Task04_Hippocampus for some minutes, score the other 40.

The 40 cases are not shown to the training in any form: it gets a table of the 160 alone. Recipe
`volunet` takes its validation cases (fold 1 of 10) from the 160; what is scored is the exported
ONNX file through `volunet.predict`, on the scans' own grids. Recipe `monai` is the tutorial's, see
`monai_recipe`. The minutes are measured around everything: reading, caching, training and
validation; for `volunet` with the import of PyTorch, for `monai` without.

Each call adds its rows to the work folder and writes the one table of all of them; a row that is
there already is not measured again.

    python -m benchmarks hippocampus --work FOLDER --minutes 10 --seeds 0,1,2
    python -m benchmarks hippocampus --work FOLDER --minutes 30 --seeds 0
    python -m benchmarks hippocampus --work FOLDER --minutes 10 --seeds 0 --recipe monai
    python -m benchmarks hippocampus --work FOLDER --minutes 30 --seeds 0 --recipe monai
    python -m benchmarks hippocampus --work FOLDER --table-only --output FILE.md

The first four take about 34, 31, 11 and 31 minutes. `--data` is the folder that holds
Task04_Hippocampus.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import volunet
from benchmarks.measuring.hippocampus_cases import (
    Lines,
    find_data,
    predict_and_score,
    score,
    training_and_test,
    write_table,
)
from benchmarks.measuring.report import markdown_table, publish
from benchmarks.measuring.rows import Row, measure_missing, new_folder, read_rows
from volunet.datasets.cases import Case
from volunet.tasks.segmentation.scores import Evaluation, Statistic

PACKAGES = ("volunet", "torch", "pytorch-lightning", "monai", "batchgeneratorsv2", "openvino")
TARGETS = {10.0: 0.862, 30.0: 0.875}
"""Minutes → the mean Dice that volunet is to reach."""

HEADER = (
    "recipe",
    "budget (min)",
    "measured (min)",
    "of budget",
    "seed",
    "steps",
    "**mean Dice**",
    "Anterior",
    "Posterior",
    "surface Dice (1 mm)",
    "HD95 (mm)",
    "cores",
    "commit",
    "date",
)
PUBLISHED = ("nnU-Net, published", "1000 epochs, GPU", *["–"] * 4, "about 0.89", *["–"] * 7)

NOTES = """\
160 training cases and 40 fixed test cases. Measured is the wall clock of everything in the
training: reading, caching, training, validation. Mean Dice is the mean of both classes, each the
mean over the 40 cases; surface Dice and HD95 are the mean of both classes likewise. A commit with +
had changes that were not committed. The recipe monai is the tutorial's, on the same cases and
cores. nnU-Net's figure is of its paper (https://doi.org/10.1038/s41592-020-01008-z), and not on
this split."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True, help="rows, runs and predictions")
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="volunet")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", default="0,1,2", help="one run each, such as 0,1,2")
    parser.add_argument("--table-only", action="store_true", help="write the rows that there are")
    parser.add_argument("--output", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    if not arguments.table_only:
        find_data(arguments.data)
        wanted: list[Row] = [
            {"recipe": arguments.recipe, "minutes": arguments.minutes, "seed": int(seed)}
            for seed in arguments.seeds.split(",")
        ]
        measure_missing(
            arguments.work, wanted, partial(measure, data=arguments.data, work=arguments.work)
        )
    rows = read_rows(arguments.work)
    if not rows:
        sys.exit(f"{arguments.work} holds no row yet; measure some without --table-only")
    publish("Task04_Hippocampus", body(rows), PACKAGES, arguments.output)


def measure(settings: Row, *, data: Path, work: Path) -> Row:
    """Train by a recipe and score it; the row's figures."""
    training, test = training_and_test(find_data(data))
    recipe, minutes, seed = settings["recipe"], settings["minutes"], settings["seed"]
    folder = new_folder(work / f"{recipe}-{minutes:g}min-seed{seed}")
    steps, seconds, scores = RECIPES[recipe](training, test, minutes, seed, folder)
    anterior, posterior = scores.summary()
    distances = (anterior.hd95_mm, posterior.hd95_mm)
    return {
        "measured_minutes": seconds / 60,
        "steps": steps,
        "dice": scores.mean_foreground_dice,
        "anterior": anterior.dice.mean,
        "posterior": posterior.dice.mean,
        "surface_dice": (anterior.surface_dice.mean + posterior.surface_dice.mean) / 2,
        "hd95_mm": (distances[0].mean + distances[1].mean) / 2,
        "hd95_left_out": distances[0].left_out + distances[1].left_out,
        "cores": os.cpu_count(),
    }


def by_volunet(
    training: Sequence[Case], test: Sequence[Case], minutes: float, seed: int, folder: Path
) -> tuple[int, float, Evaluation]:
    """`volunet train`, `export`, `predict`; steps, seconds of the first, scores."""
    table = write_table(training, folder / "training.csv")
    begin = time.monotonic()
    trained = volunet.train(
        table, folder / "run", minutes=minutes, fold="1/10", seed=seed, progress=Lines()
    )
    seconds = time.monotonic() - begin
    if trained.interrupted:
        raise KeyboardInterrupt  # a shorter training is no row
    volunet.export(trained.run, folder / "model.onnx")
    return trained.steps, seconds, predict_and_score(folder / "model.onnx", test, folder)


def by_monai(
    training: Sequence[Case], test: Sequence[Case], minutes: float, seed: int, folder: Path
) -> tuple[int, float, Evaluation]:
    """The tutorial's recipe; steps, seconds of its training, scores."""
    from benchmarks.hippocampus.monai_recipe import (
        run_monai,  # imports PyTorch, which the table does without
    )

    steps, seconds, predictions = run_monai(training, test, minutes, seed, folder)
    return steps, seconds, score(predictions, test, folder)


Recipe = Callable[[Sequence[Case], Sequence[Case], float, int, Path], tuple[int, float, Evaluation]]
RECIPES: dict[str, Recipe] = {"volunet": by_volunet, "monai": by_monai}


def body(rows: Sequence[Row]) -> str:
    """Every row, and what they come to beside the targets."""
    ordered = sorted(rows, key=_order)
    table = markdown_table(HEADER, [*map(_cells, ordered), PUBLISHED])
    command = "python -m benchmarks hippocampus --work FOLDER --recipe R --minutes M --seeds S"
    return (
        f"{NOTES}\n\n{table}\n\n{_means(ordered)}\n\n"
        f"Each row by `{command}`, at its own commit and date; below is the call that wrote the "
        "table."
    )


def _order(row: Row) -> tuple[float, bool, int]:
    return row["minutes"], row["recipe"] != "volunet", row["seed"]


def _cells(row: Row) -> list[str]:
    left_out = f" ({row['hd95_left_out']} left out)" if row["hd95_left_out"] else ""
    return [
        row["recipe"],
        f"{row['minutes']:g}",
        f"{row['measured_minutes']:.2f}",
        f"{row['measured_minutes'] / row['minutes']:.1%}",
        str(row["seed"]),
        str(row["steps"]),
        f"**{row['dice']:.3f}**",
        *(f"{row[name]:.3f}" for name in ("anterior", "posterior", "surface_dice")),
        f"{row['hd95_mm']:.2f}{left_out}",
        str(row["cores"]),
        row["commit"],
        row["date"],
    ]


def _means(ordered: Sequence[Row]) -> str:
    """Mean Dice ± standard deviation over the seeds of each recipe and budget."""
    lines = []
    for recipe, minutes in dict.fromkeys((row["recipe"], row["minutes"]) for row in ordered):
        group = [row for row in ordered if (row["recipe"], row["minutes"]) == (recipe, minutes)]
        dice = Statistic.of([row["dice"] for row in group])
        target = TARGETS.get(minutes) if recipe == "volunet" else None
        verdict = (
            "–"
            if target is None
            else f"≥ {target}: {'reached' if dice.mean >= target else 'missed'}"
        )
        lines.append([recipe, f"{minutes:g}", str(len(group)), f"**{dice.text(4)}**", verdict])
    header = ("recipe", "budget (min)", "runs", "mean Dice ± SD over the seeds", "target")
    return markdown_table(header, lines)


if __name__ == "__main__":
    main()
