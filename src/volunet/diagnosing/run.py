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
from volunet.diagnosing.causes import explain
from volunet.diagnosing.check import Check, take_looks
from volunet.diagnosing.diagnosis import Diagnosis, without_repeats
from volunet.diagnosing.finding import Finding
from volunet.diagnosing.probes.probed import SECONDS, Counted, Probed, run_probes
from volunet.diagnosing.record import read_record
from volunet.training.run_folder import RUN_FILE, Run, member_folder, read_run

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

    Of a bagging run each member's curves are looked at, and the network is tried out once.

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
    findings: list[Finding] = []
    checked: list[str] = []
    left_out: list[str] = []
    for name, member in members.items():
        if member is None:
            left_out.append(f"{name}: it was not begun")
            continue
        record = replace(read_record(member), probed=probed)
        found, looked_for, not_looked = take_looks(CHECKS, record)
        prefix = f"{name}, " if name else ""
        findings += [replace(one, where=prefix + one.where) for one in found]
        checked += looked_for
        left_out += [prefix + line for line in not_looked]
    told, consequences = explain(findings)
    return Diagnosis(
        "run",
        str(run.folder),
        told,
        consequences,
        without_repeats(checked),
        without_repeats(left_out),
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
        member = read_run(folder)
        # What is advised is to train all of them again.
        config = replace(member.config, fold=run.config.fold, minutes=run.config.minutes)
        yield folder.name, replace(member, config=config)
