"""Seconds and memory of one whole-volume pass of the notes' network on each engine.

The network of `volunet.nets.notes_plan(1, 1)` at full size (32 to 512 channels), fresh weights, at
1×1×224×144×144. Each engine runs in a process of its own, in shuffled order: it loads the exported
file, makes one pass to warm up and is timed over the next ones; the median counts. Memory is the
process' highest resident set less that before the model was loaded.

    python benchmarks/engines.py --output benchmarks/results/engines.md

takes about 6 minutes and 6 GB on 2 cores and needs no data; `--size 112x72x72` is quicker.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from report import markdown_table, publish

# Nothing heavy is imported up here: a child's highest resident set begins with its parent's.

Size3 = tuple[int, int, int]

ENGINES = ("openvino", "onnxruntime", "torch")
PACKAGES = ("volunet", "torch", "onnxruntime", "openvino")


@dataclass
class Timing:
    """One engine: seconds of the first pass, loading included, and of each later one; memory."""

    engine: str
    first_s: float
    passes_s: list[float]
    peak_bytes: int

    @property
    def median_s(self) -> float:
        return statistics.median(self.passes_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="224x144x144", help="voxels, DxHxW")
    parser.add_argument("--repeats", type=int, default=3, help="timed passes")
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
        timing = measure(arguments.engine, arguments.model, size, arguments.repeats)
        print(json.dumps(asdict(timing)))
    else:
        timings = measure_all(arguments.size, arguments.repeats)
        publish("Engines", _body(timings, arguments.size), PACKAGES, arguments.output)


def measure_all(size: str, repeats: int) -> list[Timing]:
    """Time every engine in a process of its own, in shuffled order."""
    order = random.sample(ENGINES, len(ENGINES))
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "notes.onnx"
        _call("--export", str(model))
        timings = []
        for engine in order:
            print(f"{engine} …", file=sys.stderr)
            flags = ("--model", str(model), "--size", size, "--repeats", str(repeats))
            answer = _call("--engine", engine, *flags)
            timings.append(Timing(**json.loads(answer.splitlines()[-1])))
    return sorted(timings, key=lambda timing: timing.median_s)


def export(path: Path) -> None:
    """Write the notes' network with fresh weights as a model of volunet."""
    import torch

    from volunet.exporting.convert import convert
    from volunet.nets import build_network, notes_plan
    from volunet.plan import Normalisation, Plan

    torch.manual_seed(0)
    network = notes_plan(1, 1)
    plan = Plan(
        dataset="engines",
        channels=("CT",),
        orientation="any",
        spacing_mm=None,
        normalisation=(Normalisation(kind="none"),),
        classes=("answer",),
        label_values=(0,),
        colours=((0, 0, 0),),
        patch_size=(16, 16, 16),
        batch_size=1,
        network=network,
    )
    path.write_bytes(convert(build_network(network).eval(), plan))


def measure(engine: str, model: Path, size: Size3, repeats: int) -> Timing:
    """Load a model into an engine and time passes of it in this process."""
    import numpy as np

    from volunet.inference.engines import open_engine

    import_module(f"volunet.inference.engines.{engine}_engine")
    x = np.random.default_rng(0).normal(size=(1, 1, *size)).astype(np.float32)
    before = _peak_bytes()
    begin = time.perf_counter()
    opened = open_engine(model, engine)
    opened.run(x)
    first = time.perf_counter() - begin
    passes = []
    for _ in range(repeats):
        begin = time.perf_counter()
        opened.run(x)
        passes.append(time.perf_counter() - begin)
    return Timing(engine, first, passes, _peak_bytes() - before)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _call(*arguments: str) -> str:
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _body(timings: Sequence[Timing], size: str) -> str:
    fastest = timings[0].median_s
    header = [
        "engine",
        "seconds a pass (median)",
        "all passes (s)",
        "of the fastest",
        "load and first pass (s)",
        "peak memory (GB)",
    ]
    rows = [
        [
            timing.engine,
            f"{timing.median_s:.1f}",
            ", ".join(f"{seconds:.1f}" for seconds in timing.passes_s),
            f"{timing.median_s / fastest:.2f} ×",
            f"{timing.first_s:.1f}",
            f"{timing.peak_bytes / 1e9:.1f}",
        ]
        for timing in timings
    ]
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
