"""`Check`: one fault that is looked for in a run, and what the check needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from volunet.diagnosing.answers import Account, LeftOut, other_task
from volunet.diagnosing.finding import Finding
from volunet.diagnosing.record import Record
from volunet.training.record.run_folder import LAYERS_FILE, METRICS_FILE

Answer = Finding | LeftOut | None
"""What a check answers: a fault, that it could not be made, or that nothing is wrong."""


@dataclass(frozen=True)
class Check:
    """A fault that is looked for.

    Attributes:
        fault: Its name.
        find: Makes the check.
        columns: Columns of ``metrics.csv`` that it needs, with a figure in each.
        needs_layers: Whether it needs ``layers.csv``.
        tasks: Kinds of task that it is for; None: for all.
    """

    fault: str
    find: Callable[[Record], Answer]
    columns: tuple[str, ...] = ()
    needs_layers: bool = False
    tasks: tuple[str, ...] | None = None

    def answer(self, record: Record) -> Answer:
        """Check, if it is for the run's task and what it needs is there."""
        kind = record.run.plan.task.kind
        if self.tasks is not None and kind not in self.tasks:
            return other_task(self.tasks, kind)
        missing = [name for name in self.columns if not record.metrics.get(name)]
        if missing:
            return LeftOut(f"{METRICS_FILE} has no {' and no '.join(missing)}")
        if self.needs_layers and not record.layers:
            return LeftOut(f"{LAYERS_FILE} is not there, or empty")
        return self.find(record)


def take_checks(
    checks: Sequence[Check], record: Record
) -> tuple[list[Finding], list[str], list[str]]:
    """Make all checks of one record.

    Returns:
        The findings, the faults that were looked for, and what was left out, with the reason.
    """
    account, findings = Account(), list[Finding]()
    for check in checks:
        answer = check.answer(record)
        findings += account.note(check.fault, [] if answer is None else [answer])
    return findings, account.checked, account.left_out
