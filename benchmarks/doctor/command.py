"""How many of 24 planted faults `volunet doctor` names, and what it says of 8 healthy.

12 faults are planted into data sets of 40 cases of MSD Task04_Hippocampus (and of phantoms), 12
into trainings of 45 s on such cases; 4 healthy data sets and 4 healthy trainings stand beside them.
A fault counts as named if its name is among the findings of high or medium certainty; whether it is
the first of all is told apart. Of the healthy, every finding of high certainty is a false alarm.

Each call adds rows to the work folder; a row that is there already is not made again. Names of
single faults (`--only rate-high,frozen`) make those alone.

    python -m benchmarks doctor --work FOLDER --jobs 2
    python -m benchmarks doctor --work FOLDER --table-only --output benchmarks/results/doctor.md

The first takes about 11 minutes on 2 cores. `--data` is the folder that holds Task04_Hippocampus.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import volunet
from benchmarks.doctor.faults import ALL, FAULTS, HEALTHY, Planted
from benchmarks.measuring.hippocampus_cases import find_data, training_and_test
from benchmarks.measuring.report import markdown_table, publish
from benchmarks.measuring.rows import Row, measure_missing, new_folder, read_rows
from volunet.datasets.cases import Case, DataSet
from volunet.diagnosing.diagnosis import Diagnosis

CASES = 40
"""Cases of each data set and training."""

NEEDED = 22
"""Faults that are to be named."""

PACKAGES = ("volunet", "torch", "pytorch-lightning", "monai", "batchgeneratorsv2")
FAULT_HEADER = (
    "planted",
    "is",
    "named",
    "first of all",
    "first finding",
    "certainty",
    "s",
    "commit",
)
HEALTHY_HEADER = ("healthy", "high", "medium", "low", "s", "commit")

NOTES = """\
Named: the planted fault is among the findings of high or medium certainty. Seconds are those of the
doctor alone; a training took 45 s before. Each data set has 40 cases, drawn from the 160 that no
benchmark tests on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True, help="rows, data sets and runs")
    parser.add_argument("--only", default=",".join(ALL), help="names of faults and healthy ones")
    parser.add_argument("--jobs", type=int, default=1, help="at a time, each with one thread")
    parser.add_argument("--table-only", action="store_true", help="write the rows that there are")
    parser.add_argument("--output", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    if not arguments.table_only:
        names = arguments.only.split(",")
        unknown = sorted(set(names) - set(ALL))
        if unknown:
            sys.exit(f"no such fault: {', '.join(unknown)}; there are {', '.join(ALL)}")
        find_data(arguments.data)
        measure_missing(
            arguments.work,
            [{"name": name} for name in names],
            partial(measure, data=arguments.data, work=arguments.work),
            jobs=arguments.jobs,
        )
    rows = read_rows(arguments.work)
    if not rows:
        sys.exit(f"{arguments.work} holds no row yet; measure some without --table-only")
    publish("What the doctor finds", body(rows), PACKAGES, arguments.output)


def measure(settings: Row, *, data: Path, work: Path) -> Row:
    """Plant one, ask the doctor, and note what it said."""
    planted = ALL[settings["name"]]
    folder = new_folder(work / planted.name)
    subject = planted.plant(draw_cases(find_data(data), planted), folder / "planted")
    begin = time.monotonic()
    diagnosis = volunet.doctor(subject)
    return {"seconds": round(time.monotonic() - begin, 1), **verdict(planted, diagnosis)}


def draw_cases(dataset: DataSet, planted: Planted) -> Sequence[Case]:
    """Cases of one data set, the same for the same name, sorted by their names."""
    training, _ = training_and_test(dataset)
    chosen = random.Random(planted.name).sample(list(training), CASES)  # noqa: S311
    return sorted(chosen, key=lambda case: case.name)


def verdict(planted: Planted, diagnosis: Diagnosis) -> Row:
    """What the doctor said, beside what was planted."""
    findings = diagnosis.findings
    sure = [one.fault for one in findings if one.certainty != "low"]
    return {
        "named": bool(set(planted.expected) & set(sure)),
        "first": bool(findings) and findings[0].fault in planted.expected,
        "findings": [[one.fault, one.certainty] for one in findings],
        "left_out": list(diagnosis.left_out),
    }


def body(rows: Sequence[Row]) -> str:
    """Both tables and what they come to."""
    newest = {row["name"]: row for row in rows}
    faults = [(one, newest[one.name]) for one in FAULTS if one.name in newest]
    healthy = [(one, newest[one.name]) for one in HEALTHY if one.name in newest]
    named = sum(row["named"] for _, row in faults)
    first = sum(row["first"] for _, row in faults)
    alarms = sum(_count(row, "high") > 0 for _, row in healthy)
    return "\n\n".join(
        (
            NOTES,
            f"**{named} of {len(faults)} faults named** (to reach: {NEEDED} of {len(FAULTS)}), "
            f"{first} of them first of all; **{alarms} of {len(healthy)} healthy with a finding of "
            "high certainty** (to reach: 0).",
            markdown_table(FAULT_HEADER, [_fault_cells(one, row) for one, row in faults]),
            markdown_table(HEALTHY_HEADER, [_healthy_cells(one, row) for one, row in healthy]),
        )
    )


def _fault_cells(planted: Planted, row: Row) -> list[str]:
    fault, certainty = row["findings"][0] if row["findings"] else ("–", "–")
    return [
        planted.text,
        " or ".join(planted.expected),
        "yes" if row["named"] else "**no**",
        "yes" if row["first"] else "no",
        fault,
        certainty,
        f"{row['seconds']:.0f}",
        row["commit"],
    ]


def _healthy_cells(planted: Planted, row: Row) -> list[str]:
    told = [
        ", ".join(fault for fault, sure in row["findings"] if sure == certainty) or "–"
        for certainty in ("high", "medium", "low")
    ]
    return [planted.text, *told, f"{row['seconds']:.0f}", row["commit"]]


def _count(row: Row, certainty: str) -> int:
    return sum(sure == certainty for _, sure in row["findings"])


if __name__ == "__main__":
    main()
