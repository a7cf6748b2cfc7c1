"""Kill `volunet train` and `volunet predict` at random moments, and see what the next run makes.

Each kill is a SIGKILL to the whole group of processes, at a moment drawn from the seed: of a
training half within its start (reading, preparing, planning), half within its fit. Then, in order:

- no half result: every file that has its final name is read as its kind, whole;
- the same command with `--resume` (or, if nothing was there to resume, without) ends well;
- nothing is left behind by it: no hidden folder, and predictions are the bytes of those of a run
  that nobody killed;
- what the kill cost: the seconds that the process had worked and that the run does not have. Of a
  training they are counted by the run's own budget; of a prediction since its last finished scan.

    python -m benchmarks kills --work FOLDER --jobs 2 --output benchmarks/results/kills.md

Rows are kept in the work folder; the same call goes on where an interrupted one ended.
"""

from __future__ import annotations

import argparse
import csv
import filecmp
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.measuring.report import markdown_table, publish
from benchmarks.measuring.rows import Row, measure_missing, new_folder

PACKAGES = ("volunet", "torch", "pytorch-lightning", "openvino")
CASES = 6
FLAGS = ("--features", "8,16", "--patch-size", "32", "--batch-size", "2", "--precision", "float32")

START_S = 15.0
"""Seconds within which a training reads, prepares and plans."""

LONGEST_S = 100.0
"""The last moment at which a training is killed: past three checkpoints."""

PREDICT_S = 12.0
"""The last moment at which a prediction is killed; one that has ended by then counts as no kill."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="rows, data, runs and predictions")
    parser.add_argument("--trainings", type=int, default=60, help="kills of train")
    parser.add_argument("--predictions", type=int, default=40, help="kills of predict")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="commands at a time")
    parser.add_argument("--output", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    wanted = _draw(arguments.trainings, arguments.predictions, arguments.seed)
    make_material(arguments.work / "material")
    run = partial(measure, work=arguments.work.resolve())
    rows = measure_missing(arguments.work, wanted, run, jobs=arguments.jobs)
    publish("Kills", body(rows), PACKAGES, arguments.output)


def _draw(trainings: int, predictions: int, seed: int) -> list[Row]:
    """The moments, in seconds behind the start of the process."""
    moments = random.Random(seed)  # noqa: S311  (no secret)
    wanted: list[Row] = []
    for number in range(trainings):
        span = (0.0, START_S) if number % 2 == 0 else (START_S, LONGEST_S)
        wanted.append({"verb": "train", "number": number, "after_s": moments.uniform(*span)})
    for number in range(predictions):
        mode = "whole" if number % 2 == 0 else "streamed"
        after_s = moments.uniform(0.0, PREDICT_S)
        wanted.append({"verb": f"predict, {mode}", "number": number, "after_s": after_s})
    return [{**one, "after_s": round(one["after_s"], 2), "seed": seed} for one in wanted]


def make_material(folder: Path) -> None:
    """Phantoms, a model that was trained on them for a little, and what it answers unkilled."""
    if (folder / "whole").is_dir():
        return
    new_folder(folder)
    _finish("phantom", "-o", folder / "scans", "--cases", CASES)
    _finish("train", folder / "scans", "-o", folder / "run", "--epochs", 1, *FLAGS)
    _finish("export", folder / "run", "-o", folder / "model.onnx")
    for mode in ("streamed", "whole"):
        _finish(*_predict(folder, folder / mode, mode))


def measure(settings: Row, *, work: Path) -> Row:
    """One kill, what it left, and the run after it."""
    material = work / "material"
    verb, number = str(settings["verb"]), settings["number"]
    folder = new_folder(work / f"{verb.replace(', ', '_')}_{number:03}") / "out"
    if verb == "train":
        return _measure_training(material / "scans", folder, settings["after_s"])
    return _measure_prediction(material, folder, verb.split(", ")[1], settings["after_s"])


def _measure_training(scans: Path, run: Path, after_s: float) -> Row:
    worked_s, killed = _kill("train", scans, "-o", run, "--minutes", "10", *FLAGS, after_s=after_s)
    half = half_files(run)
    kept_s = _budget_s(run)
    words: list[object] = ["train", scans, "-o", run]
    # A little more than what was spent: the run ends soon, and validates. What was killed while it
    # prepared has most of that before it.
    is_fitting = (run / "last.ckpt").is_file()
    minutes = (max(kept_s, _prepared_s(run)) + (20 if is_fitting else 90)) / 60
    if (run / "run.json").is_file():
        words += ["--resume", "--minutes", f"{minutes:.3f}"]
    else:
        words += ["--minutes", "1.5", *FLAGS]
    ended = _finish(*words, may_fail=True)
    return {
        "killed": killed,
        "lost_s": round(worked_s - kept_s, 1),
        "half": half + half_files(run),
        "left": hidden(run),
        "next": "" if ended.returncode == 0 else ended.stderr.strip()[-300:],
    }


def _measure_prediction(material: Path, out: Path, mode: str, after_s: float) -> Row:
    begun = time.time()
    worked_s, killed = _kill(*_predict(material, out, mode), after_s=after_s)
    finished = sorted(out.glob("*.nii.gz"))
    reference = material / mode
    half = [file.name for file in finished if not _same(file, reference / file.name)]
    last_s = max((file.stat().st_mtime - begun for file in finished), default=0.0)
    ended = _finish(*_predict(material, out, mode), "--resume", may_fail=True)
    names = sorted(entry.name for entry in out.iterdir())
    expected = sorted(entry.name for entry in reference.iterdir())
    half += [name for name in expected if not _same(out / name, reference / name)]
    return {
        "killed": killed,
        "lost_s": round(worked_s - last_s, 1),
        "half": half,
        "left": hidden(out) + [name for name in names if name not in expected],
        "next": "" if ended.returncode == 0 else ended.stderr.strip()[-300:],
    }


def half_files(folder: Path) -> list[str]:
    """Files with their final name that cannot be read as their kind."""
    return [
        f"{file.relative_to(folder)}: {reason}"
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.parts)
        for reason in [_fault(file)]
        if reason
    ]


def _fault(file: Path) -> str:
    """Why a file is not whole; nothing where it is, or where its kind has no end to check."""
    from PIL import Image
    from safetensors import safe_open

    from volunet.training.fitting.checkpoints import read_checkpoint

    try:
        match file.suffix:
            case ".json":
                json.loads(file.read_text(encoding="utf-8"))
            case ".csv":
                with file.open(encoding="utf-8", newline="") as lines:
                    widths = {len(line) for line in csv.reader(lines)}
                if len(widths) > 1:
                    return f"lines of {sorted(widths)} cells"
            case ".ckpt":
                read_checkpoint(file)
            case ".safetensors":
                with safe_open(str(file), "numpy") as tensors:
                    for name in tensors.keys():  # noqa: SIM118  (it is no mapping)
                        tensors.get_tensor(name)
            case ".png":
                with Image.open(file) as image:
                    image.load()
            case ".npz" | ".npy":
                import numpy as np

                loaded = np.load(file)
                if file.suffix == ".npz":
                    for name in loaded.files:
                        loaded[name]
    except Exception as error:  # noqa: BLE001  (whatever the reader says of it)
        return f"{type(error).__name__}: {error}"
    return ""


def hidden(folder: Path) -> list[str]:
    """Hidden files and folders below a folder: what an unfinished run had in the making."""
    return [str(entry.relative_to(folder)) for entry in sorted(folder.rglob(".*"))]


def _predict(material: Path, out: Path, mode: str) -> tuple[object, ...]:
    scans = material / "scans" / "imagesTr"
    return ("predict", material / "model.onnx", scans, "-o", out, "--mode", mode, "--threads", "1")


def _same(file: Path, reference: Path) -> bool:
    return file.is_file() and reference.is_file() and filecmp.cmp(file, reference, shallow=False)


def _budget_s(run: Path) -> float:
    """Seconds that a run has: what its last checkpoint counts, or its preparation."""
    from volunet.training.fitting.checkpoints import read_checkpoint

    if not (run / "last.ckpt").is_file():
        return _prepared_s(run)
    callbacks = read_checkpoint(run / "last.ckpt")["callbacks"]
    (state,) = (state for name, state in callbacks.items() if name.startswith("Budget"))
    return float(state["elapsed_s"])


def _prepared_s(run: Path) -> float:
    file = run / "run.json"
    return float(json.loads(file.read_text())["prepared_s"]) if file.is_file() else 0.0


def _kill(*words: object, after_s: float) -> tuple[float, bool]:
    """Run a command and kill it; the seconds that it ran, and whether the kill met it."""
    begun = time.monotonic()
    process = subprocess.Popen(
        _command(words),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return time.monotonic() - begun, process.returncode == -signal.SIGKILL


def _finish(*words: object, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        _command(words), capture_output=True, text=True, check=False, timeout=600
    )
    if ended.returncode and not may_fail:
        sys.exit(f"{' '.join(map(str, words))}: {ended.stderr}")
    return ended


def _command(words: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "volunet.cli", *map(str, words)]


def body(rows: Sequence[Row]) -> str:
    """The table, a line a command, and every fault in full."""
    lines, faults = [], []
    for verb in dict.fromkeys(row["verb"] for row in rows):
        group = [row for row in rows if row["verb"] == verb]
        met = [row for row in group if row["killed"]]
        lost = sorted(row["lost_s"] for row in met)
        lines.append(
            [
                str(verb),
                f"{len(met)} of {len(group)}",
                f"{lost[len(lost) // 2]:.0f}" if lost else "–",
                f"**{lost[-1]:.0f}**" if lost else "–",
                *(str(sum(bool(row[kind]) for row in group)) for kind in ("half", "left", "next")),
            ]
        )
        faults += [
            f"- {verb}, kill {row['number']} after {row['after_s']} s: {kind}: {row[kind]}"
            for row in group
            for kind in ("half", "left", "next")
            if row[kind]
        ]
    header = (
        "command", "kills", "lost s, median", "lost s, most", "half files", "left behind",
        "next run failed",
    )  # fmt: skip
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    method = (
        f"`volunet train` of {CASES} phantoms ({' '.join(FLAGS)}) and `volunet predict` of them on "
        "one thread, each killed by SIGKILL at a random moment; where a command had ended before "
        f"it, no kill is counted. Commit {commits}. Columns of faults count runs."
    )
    told = "\n".join(faults) or "No fault."
    return f"{method}\n\n{markdown_table(header, lines)}\n\n{told}"


if __name__ == "__main__":
    main()
