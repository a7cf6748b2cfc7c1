"""Time, steps and patches to a fixed validation Dice, for batches of 1 to 16 and ``auto``.

Each network trains for the same minutes on the 160 training cases of
`measuring.hippocampus_cases`, of which fold 1 of 10 validates; the 40 test cases are not touched.
Network, patch, precision and learning rate are the same everywhere, only the batch differs. What is
read is the Dice and the time that each validation left in the run's ``metrics.csv``.

    python -m benchmarks batch_size --work FOLDER --jobs 2 --output FILE.md --plot FILE.png

takes about 20 minutes on 2 cores: with `--jobs 2` two networks train at a time, one thread each.
Rows are kept in the work folder; the same call goes on where an interrupted one ended. Another
`--target` measures nothing again.
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import volunet
from benchmarks.measuring.hippocampus_cases import Lines, find_data, training_and_test, write_table
from benchmarks.measuring.report import markdown_table, publish
from benchmarks.measuring.rows import Row, measure_missing, new_folder

PACKAGES = ("volunet", "torch", "pytorch-lightning", "batchgeneratorsv2")

BATCHES = ("1", "2", "4", "8", "16", "auto")

FIXED: dict[str, Any] = {
    "fold": "1/10",
    "features": [16, 32, 64, 128],
    "patch_size": [40, 56, 40],
    "precision": "bfloat16",
    "learning_rate": 3e-3,
}
"""What the planner would else choose by the time of a step, which the batch changes."""

HEADER = (
    "`--batch-size`",
    "patches a step",
    "minutes to the Dice",
    "steps to it",
    "patches to it",
    "best Dice",
    "steps in all",
    "patches in all",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True, help="rows and runs")
    parser.add_argument("--minutes", type=float, default=6.0, help="of each training")
    parser.add_argument("--target", type=float, default=0.8, help="validation Dice to reach")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=1, help="trainings at a time")
    parser.add_argument("--output", type=Path, help="write the table here as well")
    parser.add_argument("--plot", type=Path, help="draw the Dice here, PNG")
    arguments = parser.parse_args()
    find_data(arguments.data)
    wanted: list[Row] = [
        {
            "batch": batch,
            "arguments": FIXED,
            "minutes": arguments.minutes,
            "jobs": arguments.jobs,
            "seed": arguments.seed,
        }
        for batch in BATCHES
    ]
    run = partial(measure, data=arguments.data, work=arguments.work)
    rows = measure_missing(arguments.work, wanted, run, jobs=arguments.jobs)
    publish("Batch size", body(rows, arguments.target), PACKAGES, arguments.output)
    if arguments.plot:
        draw(rows, arguments.target, arguments.plot)


def measure(settings: Row, *, data: Path, work: Path) -> Row:
    """Train with one batch; the Dice of each validation, and what the batch was."""
    # Imports PyTorch, which the table does without.
    from volunet.training.record.run_folder import read_run

    training, _ = training_and_test(find_data(data))
    batch = settings["batch"]
    name = f"batch-{batch}-{settings['minutes']:g}min-seed{settings['seed']}"
    folder = new_folder(work / f"{name}-jobs{settings['jobs']}")
    arguments: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings["arguments"].items()
    }
    said = _Said()
    logger = logging.getLogger("volunet.training.planning.batch_size")
    logger.setLevel(logging.INFO)
    logger.addHandler(said)
    trained = volunet.train(
        write_table(training, folder / "training.csv"),
        folder / "run",
        batch_size="auto" if batch == "auto" else int(batch),
        minutes=settings["minutes"],
        workers=1 if settings["jobs"] == 1 else 0,
        seed=settings["seed"],
        progress=Lines(name),
        **arguments,
    )
    if trained.interrupted:
        raise KeyboardInterrupt  # a shorter training is no row
    run = read_run(trained.run)
    return {
        "a_pass": run.plan.batch_size,
        "accumulate": run.config.accumulate,
        "steps": trained.steps,
        "said": said.text,
        "validations": read_validations(trained.run / "metrics.csv"),
    }


def read_validations(file: Path) -> list[tuple[int, float, float]]:
    """Step, seconds since the start and Dice of each validation of a ``metrics.csv``."""
    with file.open(encoding="utf-8", newline="") as lines:
        return [
            (int(row["step"]), float(row["elapsed_s"]), float(row["val_dice"]))
            for row in csv.DictReader(lines)
            if row["val_dice"]
        ]


def find_target(
    validations: Sequence[tuple[int, float, float]], target: float
) -> tuple[float, float] | None:
    """Step and seconds at which the Dice is first as high, between validations on a straight line.

    None where it never is. At the first validation it may have been so for some time.
    """
    before: tuple[int, float, float] | None = None
    for step, seconds, dice in validations:
        if dice >= target:
            if before is None:
                return step, seconds
            share = (target - before[2]) / (dice - before[2])
            return before[0] + share * (step - before[0]), before[1] + share * (seconds - before[1])
        before = step, seconds, dice
    return None


def body(rows: Sequence[Row], target: float) -> str:
    """How it was measured, the table, and which batch was the first."""
    table = markdown_table(HEADER, [_cells(row, target) for row in rows])
    said = next(row["said"] for row in rows if row["batch"] == "auto")
    return f"{_method(rows, target)}\n\n{table}\n\n{_first(rows, target)} It said: {said}"


def draw(rows: Sequence[Row], target: float, file: Path) -> None:
    """The Dice of each batch by time and by steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    by_time, by_steps = figure.subplots(1, 2, sharey=True)
    # Okabe and Ito's colours, which the colour-blind can tell apart; auto is black and dashed.
    colours = ("#E69F00", "#56B4E9", "#009E73", "#0072B2", "#CC79A7", "#000000")
    lines = []
    for row, colour in zip(rows, colours, strict=True):
        steps, seconds, dice = zip(*row["validations"], strict=True)
        style = {"color": colour, "marker": "o", "ms": 3, "label": row["batch"]}
        style["ls"] = "--" if row["batch"] == "auto" else "-"
        lines += by_time.plot([one / 60 for one in seconds], dice, **style)
        by_steps.plot(steps, dice, **style)
    by_steps.set_xscale("log")
    by_time.set_xlabel("minutes, everything included")
    by_steps.set_xlabel("steps")
    by_time.set_ylabel("validation Dice, mean of both classes")
    by_time.set_ylim(max(0.0, target - 0.4), 1.0)
    for axes in (by_time, by_steps):
        axes.axhline(target, color="#7f8c9b", lw=0.8)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(handles=lines, title="batch size", loc="outside right center", frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


class _Said(logging.Handler):
    """Keeps the line in which ``auto`` states its choice."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def _a_step(row: Row) -> int:
    patches: int = row["a_pass"] * row["accumulate"]
    return patches


def _cells(row: Row, target: float) -> list[str]:
    passes = f" ({row['accumulate']} passes of {row['a_pass']})" if row["accumulate"] > 1 else ""
    reached = find_target(row["validations"], target)
    best = max(dice for *_, dice in row["validations"])
    to_it = ["not reached", "–", "–"]
    if reached is not None:
        step, seconds = reached
        to_it = [f"{seconds / 60:.2f}", f"{step:.0f}", f"{step * _a_step(row):.0f}"]
    return [
        row["batch"],
        f"{_a_step(row)}{passes}",
        *to_it,
        f"{best:.3f}",
        str(row["steps"]),
        str(row["steps"] * _a_step(row)),
    ]


def _method(rows: Sequence[Row], target: float) -> str:
    one = rows[0]
    threads = "two at a time, one thread each" if one["jobs"] > 1 else "one at a time, all threads"
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    fixed = " ".join(
        f"`--{name.replace('_', '-')} {_text(value, 'x' if name == 'patch_size' else ',')}`"
        for name, value in one["arguments"].items()
    )
    return (
        f"Dice {target:g} on the validation cases (mean of both classes) of the 160 training cases "
        f"of Task04_Hippocampus; {one['minutes']:g} minutes each, {threads}; seed {one['seed']}, a "
        f"single one; commit {commits}. Everywhere: {fixed}. Minutes include reading, preparing, "
        "validating and, for auto, choosing. When the Dice was reached lies on the straight line "
        "between two validations. Every training had its learning rate fall to 0 at the end of its "
        "minutes."
    )


def _text(value: Any, separator: str) -> str:
    return separator.join(map(str, value)) if isinstance(value, list) else str(value)


def _first(rows: Sequence[Row], target: float) -> str:
    reached = [(row, find_target(row["validations"], target)) for row in rows]
    times = sorted((at[1], row["batch"]) for row, at in reached if at and row["batch"] != "auto")
    auto = next(row for row in rows if row["batch"] == "auto")
    of_auto = find_target(auto["validations"], target)
    if not times:
        return f"No fixed batch reached {target:g} in the minutes."
    text = f"The first of the fixed batches is {times[0][1]}, after {times[0][0] / 60:.2f} minutes"
    chosen = f"auto chose {_a_step(auto)} patches a step and "
    if of_auto is None:
        return f"{text}; {chosen}did not reach it."
    return f"{text}; {chosen}took {of_auto[1] / times[0][0]:.2f} times as long."


if __name__ == "__main__":
    main()
