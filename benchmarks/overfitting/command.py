"""Six measures against overfitting, each alone and all together, on 10 cases of Task04_Hippocampus.

Each network trains for 2 minutes on a table of 10 cases and is scored on these 10 (training) and on
30 others (validation), none of which is a test case of `hippocampus`. Network, patch, batch and
precision are the same everywhere; only the measures differ. Within the 10, fold 1 of 5 validates,
by which the best weights are kept and early stopping stops; bagging's three networks each have a
fold of their own and share the 2 minutes. What is scored is the exported ONNX file through
`volunet.predict`, on the scans' own grids.

    python -m benchmarks overfitting --work FOLDER --jobs 2 --output FILE.md --plot FILE.png

takes about 40 minutes on 2 cores: with `--jobs 2` two networks train at a time, one thread each.
Rows are kept in the work folder; the same call goes on where an interrupted one ended.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import volunet
from benchmarks.measuring.hippocampus_cases import (
    Lines,
    find_data,
    predict_and_score,
    training_and_test,
    write_table,
)
from benchmarks.measuring.report import markdown_table, publish
from benchmarks.measuring.rows import Row, measure_missing, new_folder
from volunet.api.train import TrainingResult
from volunet.datasets.cases import Case
from volunet.datasets.splits import Fold, split_cases
from volunet.tasks.segmentation.scores import Statistic

PACKAGES = ("volunet", "torch", "pytorch-lightning", "batchgeneratorsv2", "openvino")

FIXED: dict[str, Any] = {
    "features": [8, 16, 32, 64],
    "patch_size": [32, 32, 32],
    "batch_size": 2,
    "precision": "bfloat16",
}
"""The network and its steps, which the planner would else choose by the time of a step.

It is a width with which one thread makes the 1,500 steps that the planner asks for, so that three
networks of 40 seconds each come near their end too."""

NONE: dict[str, Any] = {
    "fold": "1/5",
    "norm": "none",
    "dropout": 0.0,
    "l1": 0.0,
    "l2": 0.0,
    "augmentation": "none",
    "patience": 0,
}

MEASURES: dict[str, dict[str, Any]] = {
    "dropout": {"dropout": [0.0, 0.0, 0.0, 0.1]},
    "L1": {"l1": 1e-5},
    "L2": {"l2": 0.1},
    "norm layers": {"norm": "batch"},
    "bagging": {"fold": "all/3"},
    "early stopping": {"patience": 6},
    "augmentation": {"augmentation": "light"},
}
"""What each measure changes in `NONE`. Lists, as rows are JSON.

Network and strengths were found with 10 other training cases (of the 30 that validate here) and 30
validation cases in neither set. What the planner takes for 10 cases (strong augmentation), or
dropout up to 0.3, leaves bagging's networks of 40 seconds each unfinished."""

CONDITIONS: dict[str, dict[str, Any]] = {
    "none": {},
    **MEASURES,
    "all together": {name: value for one in MEASURES.values() for name, value in one.items()},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True, help="rows, runs and predictions")
    parser.add_argument("--minutes", type=float, default=2.0, help="of each training")
    parser.add_argument("--seeds", default="0,1,2", help="one run of each condition, such as 0,1,2")
    parser.add_argument("--only", default=",".join(CONDITIONS), help="conditions, none among them")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--output", type=Path, help="write the table here as well")
    parser.add_argument("--plot", type=Path, help="draw the table here, PNG")
    arguments = parser.parse_args()
    find_data(arguments.data)
    only = arguments.only.split(",")
    if "none" not in only or not CONDITIONS.keys() >= set(only):
        parser.error(f"--only takes none and any of {', '.join(CONDITIONS)}")
    # Seed by seed, so that a machine that slows down slows all conditions down.
    wanted: list[Row] = [
        {
            "condition": condition,
            "arguments": {**FIXED, **NONE, **changed},
            "minutes": arguments.minutes,
            "jobs": arguments.jobs,
            "seed": int(seed),
        }
        for seed in arguments.seeds.split(",")
        for condition, changed in CONDITIONS.items()
        if condition in only
    ]
    run = partial(measure, data=arguments.data, work=arguments.work)
    rows = measure_missing(arguments.work, wanted, run, jobs=arguments.jobs)
    publish("Measures against overfitting", body(rows), PACKAGES, arguments.output)
    if arguments.plot:
        draw(rows, arguments.plot)


def choose_cases(training: Sequence[Case]) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """The 10 cases that train and the 30 that validate, of the 160 that may be trained on.

    Folds go by the hash of the names: one of 16 has 10 cases, and a fifth of the rest is 30.
    """
    others, few = split_cases(training, Fold(1, 16))
    return few, split_cases(others, Fold(1, 5))[1]


def measure(settings: Row, *, data: Path, work: Path) -> Row:
    """Train under one condition, export, and score both sets of cases."""
    training, _ = training_and_test(find_data(data))
    few, validation = choose_cases(training)
    name = f"{settings['condition'].replace(' ', '-')}-seed{settings['seed']}"
    folder = new_folder(work / name)
    trained = train_and_export(settings, few, folder, settings["arguments"])
    dice = {
        part: dice_on(cases, folder, part, settings)
        for part, cases in (("training", few), ("validation", validation))
    }
    return {**dice, "steps": trained.steps, "seconds": trained.elapsed_s}


def train_and_export(
    settings: Row, cases: Sequence[Case], folder: Path, arguments: Mapping[str, Any]
) -> TrainingResult:
    """Train on cases for a row's minutes, by its seed, and export ``model.onnx`` to the folder.

    Args:
        settings: The row's ``minutes``, ``jobs`` and ``seed``.
        cases: The cases.
        folder: The row's folder.
        arguments: Of `volunet.train`; lists stand for tuples.
    """
    trained = volunet.train(
        write_table(cases, folder / "training.csv"),
        folder / "run",
        minutes=settings["minutes"],
        workers=1 if settings["jobs"] == 1 else 0,
        seed=settings["seed"],
        progress=Lines(folder.name),
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in arguments.items()
        },
    )
    if trained.interrupted:
        raise KeyboardInterrupt  # a shorter training is no row
    volunet.export(trained.run, folder / "model.onnx", sizes=2)
    return trained


def dice_on(cases: Sequence[Case], folder: Path, part: str, settings: Row) -> float:
    """Mean Dice of a folder's ``model.onnx`` on cases, whose predictions go below it."""
    threads = None if settings["jobs"] == 1 else 1
    model = folder / "model.onnx"
    return predict_and_score(model, cases, folder / part, threads=threads).mean_foreground_dice


def body(rows: Sequence[Row]) -> str:
    """The table, how it was measured, and whether all together beat none."""
    header = (
        "measure", "flags", "training Dice", "validation Dice", "gap", "against none", "steps",
        "minutes",
    )  # fmt: skip
    none = _statistic(rows, "none", "validation").mean
    lines = []
    for condition in _conditions(rows):
        changed = CONDITIONS[condition]
        validation = _statistic(rows, condition, "validation")
        lines.append(
            [
                condition,
                " ".join(f"`{flag}`" for flag in _flags(changed)) or "–",
                _statistic(rows, condition, "training").text(3),
                f"**{validation.text(3)}**",
                _statistic(rows, condition, "gap").text(3),
                "–" if condition == "none" else f"{validation.mean - none:+.3f}",
                f"{_statistic(rows, condition, 'steps').mean:.0f}",
                f"{_statistic(rows, condition, 'seconds').mean / 60:.2f}",
            ]
        )
    told = verdict(rows) if "all together" in _conditions(rows) else ""
    return f"{_method(rows)}\n\n{markdown_table(header, lines)}\n\n{told}"


def verdict(rows: Sequence[Row]) -> str:
    """Whether all together beat none on validation Dice beyond the spread, with the numbers."""
    every, none = (_values(rows, name, "validation") for name in ("all together", "none"))
    a, b = Statistic.of(every), Statistic.of(none)
    difference = f"{a.mean:.4f} − {b.mean:.4f} = {a.mean - b.mean:+.4f}"
    text = f"All together against none, validation Dice: {difference}. "
    if a.count < 2 or b.count < 2:
        return text + "One seed has no spread."
    pooled = math.sqrt((a.sd**2 + b.sd**2) / 2)
    within = "beyond" if a.mean - b.mean > pooled else "not beyond"
    times = f"{(a.mean - b.mean) / pooled:.1f} times it, " if pooled else ""
    return (
        f"{text}The pooled standard deviation over the seeds, √((s₁² + s₂²) / 2), is "
        f"{pooled:.4f}: the difference is {times}**{within} the spread**. The worst seed of all "
        f"together has {min(every):.4f}, the best of none {max(none):.4f}."
    )


def draw(rows: Sequence[Row], file: Path) -> None:
    """Training and validation Dice of each condition as points, the gap as a line between them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    dice = {
        part: [_statistic(rows, condition, part) for condition in _conditions(rows)]
        for part in ("validation", "training")
    }
    places = range(len(_conditions(rows)))
    for place, low, high in zip(places, dice["validation"], dice["training"], strict=True):
        axes.plot([low.mean, high.mean], [place, place], color="0.8", linewidth=5, zorder=1)
    # Blue and orange of Okabe and Ito, which the colour-blind can tell apart; by shape for print.
    for part, colour, marker, side in (
        ("validation", "#0072B2", "o", "right"),
        ("training", "#D55E00", "D", "left"),
    ):
        for place, one in zip(places, dice[part], strict=True):
            sd = 0.0 if math.isnan(one.sd) else one.sd
            axes.errorbar(
                one.mean, place, xerr=sd, color=colour, marker=marker, markersize=7, capsize=3,
                label=f"{part} cases" if place == 0 else None,
            )  # fmt: skip
            reach = one.mean - sd if side == "right" else one.mean + sd
            axes.annotate(
                f"{one.mean:.3f}", (reach, place), (-8 if side == "right" else 8, 0),
                textcoords="offset points", ha=side, va="center", fontsize=9,
            )  # fmt: skip
    none = dice["validation"][0].mean
    axes.axvline(none, color="#0072B2", linewidth=0.8, linestyle=":", zorder=0)
    axes.set_yticks(places, _conditions(rows))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(
        "mean Dice of both classes (thin lines: standard deviation over the seeds; "
        "grey: the gap;\ndotted: validation Dice of none)"
    )
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def _conditions(rows: Sequence[Row]) -> list[str]:
    """The conditions that were measured, in the table's order."""
    measured = {row["condition"] for row in rows}
    return [condition for condition in CONDITIONS if condition in measured]


def _method(rows: Sequence[Row]) -> str:
    few = rows[0]
    threads = "one thread each" if few["jobs"] > 1 else "all threads"
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}))
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    return (
        f"10 training and 30 validation cases of Task04_Hippocampus, none of them a test case of "
        f"`hippocampus`; {few['minutes']:g} minutes each, {few['jobs']} at a time, {threads}; "
        f"mean ± standard deviation over the seeds {seeds}; commit {commits}. Everywhere: "
        f"{' '.join(f'`{flag}`' for flag in _flags(FIXED))}; where the flags column says nothing "
        f"else: {' '.join(f'`{flag}`' for flag in _flags(NONE))}. Training Dice is of the 10 cases "
        "as they are, of which 2 (with bagging: about 3 for each network) chose the weights. Gap "
        "is training less validation Dice."
    )


def _flags(arguments: Mapping[str, Any]) -> list[str]:
    """Arguments of `volunet.train` as the flags of ``volunet train``."""
    texts = []
    for name, value in arguments.items():
        separator = "x" if name == "patch_size" else ","
        several = isinstance(value, list)
        text = separator.join(map(str, value)) if several else str(value)
        texts.append(f"--{name.replace('_', '-')} {text}")
    return texts


def _values(rows: Sequence[Row], condition: str, name: str) -> list[float]:
    found = [row for row in rows if row["condition"] == condition]
    if name == "gap":
        return [row["training"] - row["validation"] for row in found]
    return [row[name] for row in found]


def _statistic(rows: Sequence[Row], condition: str, name: str) -> Statistic:
    return Statistic.of(_values(rows, condition, name))


if __name__ == "__main__":
    main()
