"""A measurement in a process of its own, and how much memory a process has had at most.

Imports nothing heavy: a child's highest resident set begins with its parent's.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The project's root: what the benchmarks run in, so that they find each other."""


def run_module(module: str, *arguments: str) -> str:
    """Run a module of the benchmarks as a program; what it prints.

    Raises:
        SystemExit: It ended with another status than 0; what it printed is told.
    """
    command = [sys.executable, "-m", module, *arguments]
    ended = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if ended.returncode:
        sys.exit(f"{' '.join(command)}: status {ended.returncode}\n{ended.stdout}")
    return ended.stdout


def peak_bytes(who: int = resource.RUSAGE_SELF) -> int:
    """The highest resident set, of this process or of its children that have ended."""
    peak = resource.getrusage(who).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def own_peak_bytes() -> int:
    """The highest resident set of this program; `peak_bytes` is the parent's at first."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return peak_bytes()
    lines = status.read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
