"""When augmentation ends: never, or fading over the last fifth or half of a training.

The network of `overfitting` trains for 2 minutes with moderate augmentation, on its 10 cases and
on 130, and is scored on its 30 validation cases; none of these is a test case of `hippocampus`.
Within the training cases fold 1 of 5 chooses the weights. What is scored is the exported ONNX file
through `volunet.predict`, on the scans' own grids.

    python -m benchmarks fading --work FOLDER --jobs 2 --output FILE.md

takes about 20 minutes on 2 cores: with `--jobs 2` two networks train at a time, one thread each.
Rows are kept in the work folder; the same call goes on where an interrupted one ended.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.measuring.hippocampus_cases import find_data, training_and_test
from benchmarks.measuring.report import markdown_table, publish
from benchmarks.measuring.rows import Row, measure_missing, new_folder
from benchmarks.overfitting.command import FIXED, choose_cases, dice_on, train_and_export
from volunet.tasks.segmentation.scores import Statistic

PACKAGES = ("volunet", "torch", "pytorch-lightning", "batchgeneratorsv2", "openvino")
FADINGS = {0.0: "never", 0.2: "the last fifth", 0.5: "the last half"}
"""Shares of the fit in which augmentation fades → their words."""

CASES = (10, 130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True, help="rows, runs and predictions")
    parser.add_argument("--minutes", type=float, default=2.0, help="of each training")
    parser.add_argument("--seeds", default="0,1,2", help="one run of each condition, such as 0,1,2")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--output", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    find_data(arguments.data)
    # Seed by seed, so that a machine that slows down slows all conditions down.
    wanted: list[Row] = [
        {
            "cases": cases,
            "fading": fading,
            "minutes": arguments.minutes,
            "jobs": arguments.jobs,
            "seed": int(seed),
        }
        for seed in arguments.seeds.split(",")
        for cases in CASES
        for fading in FADINGS
    ]
    run = partial(measure, data=arguments.data, work=arguments.work)
    rows = measure_missing(arguments.work, wanted, run, jobs=arguments.jobs)
    publish("When augmentation ends", body(rows), PACKAGES, arguments.output)


def measure(settings: Row, *, data: Path, work: Path) -> Row:
    """Train with augmentation that ends so, export, and score the validation cases."""
    from volunet.training.fitting import budget  # imports PyTorch, which the table does without

    # A share of nothing, as 0 cannot be divided by.
    budget.FADING = settings["fading"] or 1e-9  # type: ignore[misc]
    training, _ = training_and_test(find_data(data))
    few, validation = choose_cases(training)
    held_out = {case.name for case in validation}
    many = tuple(case for case in training if case.name not in held_out)
    name = f"{settings['cases']}-cases-fading-{settings['fading']}-seed{settings['seed']}"
    folder = new_folder(work / name)
    trained = train_and_export(
        settings,
        few if settings["cases"] == len(few) else many,
        folder,
        {**FIXED, "augmentation": "moderate"},
    )
    dice = dice_on(validation, folder, "validation", settings)
    return {"validation": dice, "steps": trained.steps}


def body(rows: Sequence[Row]) -> str:
    """The table, and how it was measured."""
    first = rows[0]
    threads = "one thread each" if first["jobs"] > 1 else "all threads"
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}))
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    method = (
        "30 validation cases of Task04_Hippocampus, none of them a test case of `hippocampus`, "
        f"by networks that trained for {first['minutes']:g} minutes on 10 or 130 others with "
        f"moderate augmentation; {first['jobs']} at a time, {threads}; mean Dice of both classes "
        f"± standard deviation over the seeds {seeds}; commit {commits}. Fading has ever more "
        "patches stay as they are."
    )
    lines = []
    for cases in CASES:
        for fading, words in FADINGS.items():
            group = [row for row in rows if (row["cases"], row["fading"]) == (cases, fading)]
            dice = Statistic.of([row["validation"] for row in group])
            steps = Statistic.of([row["steps"] for row in group])
            lines.append([str(cases), words, f"**{dice.text(4)}**", f"{steps.mean:.0f}"])
    header = ("training cases", "fades over", "validation Dice", "steps")
    return f"{method}\n\n{markdown_table(header, lines)}"


if __name__ == "__main__":
    main()
