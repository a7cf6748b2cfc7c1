"""`diagnose_run`: a run folder → what is wrong with the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from volunet.diagnosing import (
    batches,
    curves,
    generalisation,
    layers,
    learning_rates,
    settings,
    trials,
)
from volunet.diagnosing.causes import by_cause, explain
from volunet.diagnosing.check import Check, take_checks
from volunet.diagnosing.diagnosis import Consequence, Diagnosis, without_repeats
from volunet.diagnosing.finding import Finding, order_findings
from volunet.diagnosing.members import merge_consequences, merge_findings, merge_left_out
from volunet.diagnosing.probes.probed import SECONDS, Counted, Probed, run_probes
from volunet.diagnosing.record import read_record
from volunet.training.record.run_folder import RUN_FILE, Run, member_folder, read_run

CHECKS: Final[tuple[Check, ...]] = (
    *learning_rates.CHECKS,
    *layers.CHECKS,
    *settings.CHECKS,
    *batches.CHECKS,
    *trials.CHECKS,
    *curves.CHECKS,
    *generalisation.CHECKS,
)
"""Every fault that is looked for in a run."""


def diagnose_run(
    folder: str | Path,
    *,
    probe: bool = True,
    seconds: float = SECONDS,
    progress: Counted | None = None,
) -> Diagnosis:
    """Look at what a run wrote down, and try its network out on its prepared cases.

    Of a bagging run each member is judged by its own curves, and the network is tried out once.

    Args:
        folder: The run folder.
        probe: Whether to try the network out.
        seconds: How long that may take, all in all.
        progress: Told a stage, how much of it is done and how much there is.

    Raises:
        ConfigError: It is no run folder, or a file in it is damaged.
    """
    run = read_run(folder)
    members = dict(_members(run))
    known = [member for member in members.values() if member is not None]
    probed = Probed()
    if probe:
        probed = run_probes(known[0] if known else run, seconds, progress)
    findings: dict[str, tuple[Finding, ...]] = {}
    consequences: dict[str, tuple[Consequence, ...]] = {}
    left_out: dict[str, list[str]] = {}
    checked: list[str] = []
    for name, member in members.items():
        if member is None:
            left_out[name] = ["it was not begun"]
            continue
        whole = None if member is run else run
        record = replace(read_record(member), probed=probed, whole=whole)
        found, looked_for, left_out[name] = take_checks(CHECKS, record)
        # What is wrong with one member explains nothing of another.
        findings[name], consequences[name] = explain(found)
        checked += looked_for
    return Diagnosis(
        "run",
        str(run.folder),
        tuple(order_findings(by_cause(merge_findings(findings)))),
        tuple(merge_consequences(consequences)),
        without_repeats(checked),
        tuple(merge_left_out(left_out)),
    )


def _members(run: Run) -> Iterator[tuple[str, Run | None]]:
    """The networks of a run by name; the only one of a run has none, and one not begun is None.

    Raises:
        ConfigError: A member's folder is damaged.
    """
    if run.plan.members == 1:
        yield "", run
        return
    for number in range(1, run.plan.members + 1):
        folder = member_folder(run.folder, number)
        if not (folder / RUN_FILE).is_file():
            yield folder.name, None
            continue
        yield folder.name, read_run(folder)
