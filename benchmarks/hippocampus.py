"""Train on 160 cases of MSD Task04_Hippocampus for 10 minutes, score the other 40.

The split is fixed: fold 1 of 5 of `volunet.datasets.splits`, which sorts the names by a hash. The
40 cases are not shown to the training in any form: it gets a table of the 160 alone and takes its
validation cases (fold 1 of 10) from them. What is scored is the exported ONNX file through
`volunet.predict`, on the scans' own grids.

    python benchmarks/hippocampus.py --output benchmarks/results/hippocampus.md

takes about 12 minutes on 2 cores. `--data` is the folder that holds Task04_Hippocampus.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import volunet
from volunet.datasets.cases import Case
from volunet.datasets.layouts import read_dataset
from volunet.datasets.splits import Fold, split_cases
from volunet.inference.evaluation import Evaluation

SPLIT = Fold(1, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="keep run, model and predictions here")
    parser.add_argument("--output", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    folder = arguments.data / "Task04_Hippocampus"
    if not folder.is_dir():
        sys.exit(f"skipped: {folder} is missing; get MSD Task04_Hippocampus and name --data")
    dataset = read_dataset(folder)
    training, held_out = split_cases(dataset.cases, SPLIT)

    work = arguments.work or Path(tempfile.mkdtemp(prefix="hippocampus-"))
    work.mkdir(parents=True, exist_ok=True)
    write_table(training, work / "training.csv")
    references = work / "references"
    references.mkdir()
    for case in held_out:
        if case.label is not None:
            shutil.copy(case.label, references)

    begin = time.monotonic()
    trained = volunet.train(
        work / "training.csv",
        work / "run",
        minutes=arguments.minutes,
        fold="1/10",
        seed=arguments.seed,
        progress=Lines(),
    )
    minutes = (time.monotonic() - begin) / 60
    model = work / "model.onnx"
    checked = volunet.export(trained.run, model)
    volunet.predict(model, [case.images[0] for case in held_out], work / "predictions")
    scores = volunet.evaluate(work / "predictions", references, work / "scores.csv")

    text = table(scores, len(training), minutes, trained.steps, list(dataset.labels.values())[1:])
    text += (
        f"\nThe exported file differs from PyTorch by {checked.largest_difference:.1e} at most, "
        f"in {len(checked.rows)} checks. Seed {arguments.seed}.\n"
        f"\n`python benchmarks/hippocampus.py --minutes {arguments.minutes:g} "
        f"--seed {arguments.seed}`, {os.cpu_count()} cores.\n"
    )
    print(text)
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text, encoding="utf-8")
    if arguments.work is None:
        shutil.rmtree(work)


def write_table(cases: tuple[Case, ...], file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["case", "image_MRI", "label"])
        for case in cases:
            writer.writerow(
                [case.name, case.images[0].resolve(), case.label and case.label.resolve()]
            )


def table(
    scores: Evaluation, num_training: int, minutes: float, steps: int, names: list[str]
) -> str:
    lines = [
        f"{num_training} training cases, {minutes:.1f} minutes ({steps} steps), "
        f"{scores.num_cases} unseen cases: **mean Dice {scores.mean_foreground_dice:.3f}**",
        "",
        "| class | Dice | surface Dice (1 mm) | HD95 (mm) | volume difference (ml) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in zip(names, scores.summary(), strict=True):
        figures = (
            row.dice.text(3),
            row.surface_dice.text(3),
            row.hd95_mm.text(2),
            row.volume_difference_ml.text(3),
        )
        lines.append(f"| {name} | " + " | ".join(figures) + " |")
    return "\n".join(lines) + "\n"


class Lines:
    """A progress line on stderr each half minute."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, stage: str, done: float, figures: dict[str, float]) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 30
            text = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
            print(f"{stage} {done:.0%} {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
