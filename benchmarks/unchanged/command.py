"""Train, export and predict with two versions of the code, and compare what they leave bit by bit.

What is computed must not change when code moves. Both versions train the same small network on
Task04_Hippocampus for a number of epochs, not of minutes, so that a slow machine makes the same
steps; each exports its own model and predicts four scans with it, whole and streamed.

    git worktree add --detach ../before COMMIT
    python -m benchmarks unchanged --before ../before --output FILE.md

takes about 5 minutes on 2 cores. ``import volunet`` is timed beside it, the median of five.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring.apart import ROOT
from benchmarks.measuring.hippocampus_cases import find_data
from benchmarks.measuring.report import markdown_table, publish
from benchmarks.measuring.rows import commit

PACKAGES = ("volunet", "torch", "openvino")
SCANS = 4
MODES = ("whole", "streamed")
FLAGS = (
    "--features", "8,16,32", "--patch-size", "32x32x32", "--batch-size", "4",
    "--precision", "float32", "--workers", "1", "--seed", "0",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the code before")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--output", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    data = find_data(arguments.data).root.resolve()
    with tempfile.TemporaryDirectory() as name:
        made = [Path(name) / version for version in ("before", "after")]
        roots = (arguments.before.resolve(), ROOT)
        seconds = [
            make(folder, root / "src", data, arguments.epochs)
            for folder, root in zip(made, roots, strict=True)
        ]
        imports = [import_s(root / "src") for root in roots]
        weights, maps = same_weights(*made), same_maps(*made)
    rows = [
        ["weight tensors with the same bits", *weights],
        ["label maps with the same bytes", *maps],
        ["seconds of the training", *(f"{one:.0f}" for one in seconds)],
        ["`import volunet`, s", *(f"{one:.2f}" for one in imports)],
    ]
    body = (
        f"{arguments.epochs} epochs on Task04_Hippocampus ({' '.join(FLAGS)}), then what each "
        f"model answers for {SCANS} scans, whole and streamed. Before is {commit(roots[0])}, after "
        f"{commit(roots[1])}. Of weights and label maps: how many there were, and how many of them "
        f"are the same now.\n\n{markdown_table(('', 'before', 'after'), rows)}"
    )
    publish("Before and after", body, PACKAGES, arguments.output)


def make(folder: Path, source: Path, data: Path, epochs: int) -> float:
    """Train, export and predict with the code of a folder; the seconds of the training."""
    folder.mkdir()
    scans = folder / "scans"
    scans.mkdir()
    for scan in sorted((data / "imagesTr").glob("*.nii.gz"))[:SCANS]:
        shutil.copy(scan, scans)
    run, model = folder / "run", folder / "model.onnx"
    begin = time.monotonic()
    volunet(source, "train", data, "-o", run, "--epochs", epochs, *FLAGS)
    seconds = time.monotonic() - begin
    volunet(source, "export", run, "-o", model, "--sizes", 1)
    for mode in MODES:
        volunet(source, "predict", model, scans, "-o", folder / mode, "--mode", mode)
    return seconds


def volunet(source: Path, *words: object) -> None:
    """Run the command line of the code in a folder."""
    command = [sys.executable, "-m", "volunet.cli", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(source)}
    ended = subprocess.run(
        command, env=environment, cwd=source, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        sys.exit(f"{source}: {' '.join(command)}\n{ended.stderr}")


def import_s(source: Path) -> float:
    """Seconds of ``import volunet`` in a new process, the median of five."""
    code = "import time; t = time.perf_counter(); import volunet; print(time.perf_counter() - t)"
    environment = os.environ | {"PYTHONPATH": str(source)}
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment, cwd=source, capture_output=True, text=True, check=True,
        )
        for _ in range(5)
    ]  # fmt: skip
    return statistics.median(float(run.stdout) for run in runs)


def same_weights(before: Path, after: Path) -> tuple[str, str]:
    """How many tensors there were, and how many of them have the same bits now."""
    from safetensors.numpy import load_file

    a, b = (load_file(folder / "run" / "weights.safetensors") for folder in (before, after))
    same = [name for name in a if name in b and a[name].tobytes() == b[name].tobytes()]
    return str(len(a)), str(len(same))


def same_maps(before: Path, after: Path) -> tuple[str, str]:
    """How many label maps there were, and how many of them are the same bytes now."""
    files = [file.relative_to(before) for mode in MODES for file in (before / mode).iterdir()]
    same = [
        file
        for file in files
        if (after / file).is_file() and (before / file).read_bytes() == (after / file).read_bytes()
    ]
    return str(len(files)), str(len(same))


if __name__ == "__main__":
    main()
