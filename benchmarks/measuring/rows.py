"""Rows of a benchmark that takes an hour: kept one by one, so that it goes on where it ended.

Each row is a line of JSON in a work folder, written when its measurement is done. What was
measured already is not measured again, and several calls add to one table. Each measurement runs
in a process of its own: it starts like the first one did, and if it crashes the others are kept.
"""

from __future__ import annotations

import datetime
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.measuring.apart import ROOT

Row = dict[str, Any]

ROWS_FILE = "rows.jsonl"
"""Name of the rows' file in a work folder."""


def measure_missing(
    work: Path, wanted: Sequence[Row], measure: Callable[[Row], Row], *, jobs: int = 1
) -> list[Row]:
    """Measure what the work folder has no row of, and return the wanted rows in their order.

    A row is its settings, what `measure` answered, ``commit`` and ``date``.

    Args:
        work: Work folder; made where it does not exist.
        wanted: Settings of each row; a row with the same values is the same measurement.
        measure: Measures one; a function that a spawned process can import.
        jobs: Measurements at a time. Above 1, each has one thread.

    Raises:
        SystemExit: A measurement failed. The others were done, and are kept.
    """
    kept = [_find(read_rows(work), settings) for settings in wanted]
    for row in kept:
        if row is not None and row["commit"] != commit():
            print(f"kept, though now at {commit()}: {row}", file=sys.stderr)
    missing = [settings for settings, row in zip(wanted, kept, strict=True) if row is None]
    work.mkdir(parents=True, exist_ok=True)
    if jobs > 1:
        os.environ["OMP_NUM_THREADS"] = "1"  # read by a process when it starts
    failed = 0
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(_measure_apart, measure, one): one for one in missing}
        try:
            for future in as_completed(running):
                fault = future.exception()
                if fault is None:
                    _append(work, future.result())
                else:
                    print(f"failed: {running[future]}", file=sys.stderr)
                    traceback.print_exception(fault)
                    failed += 1
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failed:
        sys.exit(f"{failed} of {len(missing)} measurements failed; the same call repeats them")
    return [row for row in (_find(read_rows(work), one) for one in wanted) if row is not None]


def read_rows(work: Path) -> list[Row]:
    """Every row of a work folder, in the order in which they were measured."""
    file = work / ROWS_FILE
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]


def new_folder(folder: Path) -> Path:
    """An empty folder for one measurement; what an interrupted one left there is removed."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def commit(root: Path = ROOT) -> str:
    """The commit of the code in a checkout, with + where sources differ from it."""
    git = shutil.which("git")
    if git is None:
        return "unknown"

    def answer(*arguments: str) -> str:
        command = [git, "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    # A result that an earlier call wrote changes nothing that is measured.
    changed = answer("status", "--porcelain", "--", "src", "benchmarks/*.py")
    return (answer("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


def _measure_apart(measure: Callable[[Row], Row], settings: Row) -> Row:
    """One row, measured in a new process."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(_measure, measure, settings).result()


def _measure(measure: Callable[[Row], Row], settings: Row) -> Row:
    """One row; its commit is that of the code when it began, not when it ended."""
    origin = {"commit": commit(), "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat()}
    return {**settings, **measure(settings), **origin}


def _find(rows: Sequence[Row], settings: Row) -> Row | None:
    """The newest row with these settings."""
    found = [row for row in rows if settings.items() <= row.items()]
    return found[-1] if found else None


def _append(work: Path, row: Row) -> None:
    with (work / ROWS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
