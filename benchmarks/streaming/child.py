"""One measurement of this subject in a process of its own, so that its memory is its own."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

from benchmarks.measuring.apart import run_module

MEASUREMENTS = {
    "export": "exactness.export",
    "compare": "exactness.compare",
    "time": "timing.time_both",
    "monai": "timing.time_monai",
    "largest": "largest.most_voxels",
    "convolutions": "convolutions.time_convolutions",
    "resample": "scan.resample",
}


def run_child(*words: str) -> Any:
    """Run one of `MEASUREMENTS` in a process of its own; its answer."""
    printed = run_module("benchmarks.streaming.child", *words)
    answers = [line for line in printed.splitlines() if line.startswith("answer ")]
    if not answers:
        sys.exit(f"{' '.join(words)}: no answer\n{printed}")
    return json.loads(answers[-1].removeprefix("answer "))


if __name__ == "__main__":
    module, _, function = MEASUREMENTS[sys.argv[1]].partition(".")
    measure = getattr(import_module(f"benchmarks.streaming.{module}"), function)
    print("answer", json.dumps(measure(*sys.argv[2:])))
