"""Seconds and memory of one whole-volume pass of the notes' network on each engine.

The network of `volunet.nets.notes_plan(1, 1)` at full size (32 to 512 channels), fresh weights, at
1×1×224×144×144. In each round, in shuffled order, each engine runs in a process of its own: it
loads the exported file, makes one pass to warm up and is timed over the next; the median of the
rounds counts. Beside it stand the cores that each timed pass had: processor time by seconds. Where
that is well below the machine's cores, another process was taking its share, and the run is worth
repeating. Memory is the process' highest resident set less that before the model was loaded, the
largest of the rounds.

    python -m benchmarks engines --output benchmarks/results/engines.md

takes about 8 minutes and 5 GB on 2 cores and needs no data; `--size 112x72x72` is quicker.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from benchmarks.measuring.apart import peak_bytes, run_module
from benchmarks.measuring.report import markdown_table, publish

# Nothing heavy is imported up here: a child's highest resident set begins with its parent's.

Size3 = tuple[int, int, int]

ENGINES = ("openvino", "onnxruntime", "torch")
PACKAGES = ("volunet", "torch", "onnxruntime", "openvino")


@dataclass
class Round:
    """One engine in one round.

    Attributes:
        engine: The engine.
        first_s: Seconds of loading and the first pass.
        pass_s: Seconds of the second pass.
        cores: Processor time of that pass by its seconds.
        peak_bytes: Highest resident set above that before loading.
    """

    engine: str
    first_s: float
    pass_s: float
    cores: float
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="224x144x144", help="voxels, DxHxW")
    parser.add_argument("--repeats", type=int, default=3, help="rounds")
    parser.add_argument("--output", type=Path, help="write the table here as well")
    parser.add_argument("--export", type=Path, help="only write the network to this file")
    parser.add_argument("--engine", choices=ENGINES, help="only time this one, and print JSON")
    parser.add_argument("--model", type=Path, help="the file to time with --engine")
    arguments = parser.parse_args()
    depth, height, width = (int(part) for part in arguments.size.split("x"))
    size = depth, height, width
    if arguments.export:
        export(arguments.export)
    elif arguments.engine:
        print(json.dumps(asdict(measure(arguments.engine, arguments.model, size))))
    else:
        rounds = measure_all(arguments.size, arguments.repeats)
        publish("Engines", _body(rounds, arguments.size), PACKAGES, arguments.output)


def measure_all(size: str, repeats: int) -> list[Round]:
    """Time every engine in every round, each in a process of its own, in shuffled order."""
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "notes.onnx"
        run_module("benchmarks.engines.command", "--export", str(model))
        for number in range(repeats):
            for engine in random.sample(ENGINES, len(ENGINES)):
                answer = run_module(
                    "benchmarks.engines.command",
                    "--engine",
                    engine,
                    "--model",
                    str(model),
                    "--size",
                    size,
                )
                rounds.append(Round(**json.loads(answer.splitlines()[-1])))
                print(f"round {number + 1}: {rounds[-1]}", file=sys.stderr)
    return rounds


def export(path: Path) -> None:
    """Write the notes' network with fresh weights as a model of volunet."""
    import torch

    from volunet.exporting.convert import convert
    from volunet.nets import build_network, notes_plan
    from volunet.plan import Normalisation, Plan
    from volunet.tasks.segmentation.plan import Segmentation

    torch.manual_seed(0)
    network = notes_plan(1, 1)
    plan = Plan(
        dataset="engines",
        channels=("CT",),
        orientation="any",
        spacing_mm=None,
        normalisation=(Normalisation(kind="none"),),
        task=Segmentation(classes=("answer",), label_values=(0,), colours=((0, 0, 0),)),
        patch_size=(16, 16, 16),
        batch_size=1,
        network=network,
    )
    path.write_bytes(convert(build_network(network).eval(), plan))


def measure(engine: str, model: Path, size: Size3) -> Round:
    """Load a model into an engine and time its second pass in this process."""
    import numpy as np

    from volunet.inference.engines import open_engine

    import_module(f"volunet.inference.engines.{engine}_engine")
    x = np.random.default_rng(0).normal(size=(1, 1, *size)).astype(np.float32)
    before = peak_bytes()
    begin = time.perf_counter()
    opened = open_engine(model, engine)
    opened.run(x)
    first = time.perf_counter() - begin
    begin, begin_cpu = time.perf_counter(), time.process_time()
    opened.run(x)
    seconds = time.perf_counter() - begin
    cores = (time.process_time() - begin_cpu) / seconds
    return Round(engine, first, seconds, cores, peak_bytes() - before)


def _body(rounds: Sequence[Round], size: str) -> str:
    of_engine = {name: [run for run in rounds if run.engine == name] for name in ENGINES}
    medians = {
        name: statistics.median(run.pass_s for run in runs) for name, runs in of_engine.items()
    }
    header = [
        "engine",
        "seconds a pass (median)",
        "all rounds (s)",
        "cores used",
        "of the fastest",
        "load and first pass (s, median)",
        "peak memory (GB)",
    ]
    rows = []
    for name in sorted(ENGINES, key=medians.__getitem__):
        runs = of_engine[name]
        rows.append(
            [
                name,
                f"{medians[name]:.1f}",
                ", ".join(f"{run.pass_s:.1f}" for run in runs),
                ", ".join(f"{run.cores:.2f}" for run in runs),
                f"{medians[name] / min(medians.values()):.2f} ×",
                f"{statistics.median(run.first_s for run in runs):.1f}",
                f"{max(run.peak_bytes for run in runs) / 1e9:.1f}",
            ]
        )
    return (
        f"One pass of the notes' network (32, 64, 128, 256, 512 channels) at "
        f"1×1×{size.replace('x', '×')}, float32, each engine's own number of threads "
        f"({_usable_cores()} cores usable). Memory is above what the process held before it "
        f"loaded the model.\n\n{markdown_table(header, rows)}"
    )


def _usable_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


if __name__ == "__main__":
    main()
