"""The split of MSD Task04_Hippocampus that every benchmark trains and tests on, and its scoring.

160 cases train and 40 test: fold 1 of 5 of `volunet.datasets.splits`, which sorts the names by a
hash. The 40 are for `benchmarks/hippocampus` alone, so that no choice is made by them.
"""

from __future__ import annotations

import csv
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import volunet
from volunet.datasets.cases import Case, DataSet
from volunet.datasets.layouts import read_dataset
from volunet.datasets.splits import Fold, split_cases
from volunet.tasks.segmentation.scores import Evaluation

NAME = "Task04_Hippocampus"
SPLIT = Fold(1, 5)


def find_data(path: Path) -> DataSet:
    """Read the data set below a folder, or end the script with the reason where it is missing."""
    folder = path / NAME
    if not folder.is_dir():
        sys.exit(f"skipped: {folder} is missing; get MSD {NAME} and name its parent with --data")
    return read_dataset(folder)


def training_and_test(dataset: DataSet) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """The 160 training and the 40 test cases, each sorted by name."""
    return split_cases(dataset.cases, SPLIT)


def write_table(cases: Sequence[Case], file: Path) -> Path:
    """Write cases as a CSV that `volunet.train` reads, and return it: it hears of no other case."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["case", "image_MRI", "label"])
        for case in cases:
            writer.writerow([case.name, case.images[0].resolve(), _label(case).resolve()])
    return file


def predict_and_score(
    model: Path, cases: Sequence[Case], folder: Path, *, threads: int | None = None
) -> Evaluation:
    """Predict cases through a model file, on the scans' own grids, and score the label maps.

    Args:
        model: The ONNX file.
        cases: The cases.
        folder: New folder for predictions, references and ``scores.csv``.
        threads: Threads of the engine; None: its own choice.
    """
    scans = [case.images[0] for case in cases]
    volunet.predict(model, scans, folder / "predictions", threads=threads)
    return score(folder / "predictions", cases, folder)


def score(predictions: Path, cases: Sequence[Case], folder: Path) -> Evaluation:
    """Score label maps that are called as the cases are.

    Args:
        predictions: Folder of one label map a case, on the case's own grid.
        cases: The cases.
        folder: Folder for ``references`` and ``scores.csv``, in which neither exists.

    Raises:
        RuntimeError: A case has no prediction; a mean over the others would hide it.
    """
    references = folder / "references"
    references.mkdir(parents=True)
    for case in cases:
        shutil.copy(_label(case), references)
    scores = volunet.evaluate(predictions, references, folder / "scores.csv")
    if scores.num_cases != len(cases):
        raise RuntimeError(f"{predictions}: {scores.num_cases} of {len(cases)} cases were scored")
    return scores


class Lines:
    """A progress line on stderr each half minute, for `volunet.train`."""

    def __init__(self, name: str = "") -> None:
        self._name = f"{name}: " if name else ""
        self._next = 0.0

    def __call__(self, stage: str, done: float, figures: dict[str, float]) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 30
            text = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
            print(f"{self._name}{stage} {done:.0%} {text}", file=sys.stderr, flush=True)


def _label(case: Case) -> Path:
    if case.label is None:
        raise ValueError(f"{case.name} has no label map")
    return case.label
