"""`Diagnosis`: all that the doctor says of one data set or run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from volunet.diagnosing.finding import Finding

DIAGNOSIS_VERSION: Final = 1
"""Version of the JSON; it grows when a key changes its meaning or goes away."""

Kind = Literal["dataset", "run"]


@dataclass(frozen=True)
class Consequence:
    """A fault that was seen, and that a finding explains.

    Attributes:
        fault: Its name.
        where: Where it was seen.
        explained_by: Fault of the finding that causes it.
    """

    fault: str
    where: str
    explained_by: str


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a data set or a run.

    Attributes:
        kind: ``dataset`` or ``run``.
        subject: The folder or table that was looked at.
        findings: What is wrong, the surest first.
        consequences: What was seen as well, and follows from one of the findings.
        checked: Names of the faults that were looked for.
        left_out: What was not looked for, and why.
    """

    kind: Kind
    subject: str
    findings: tuple[Finding, ...]
    consequences: tuple[Consequence, ...] = ()
    checked: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def passed(self) -> tuple[str, ...]:
        """Names of the faults that were looked for and not seen."""
        seen = {finding.fault for finding in self.findings}
        seen |= {consequence.fault for consequence in self.consequences}
        return tuple(fault for fault in self.checked if fault not in seen)

    @property
    def is_healthy(self) -> bool:
        """Whether nothing of high or medium certainty was found."""
        return all(finding.certainty == "low" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as plain data."""
        return {
            "diagnosis_version": DIAGNOSIS_VERSION,
            "kind": self.kind,
            "subject": self.subject,
            "healthy": self.is_healthy,
            "findings": [finding.to_json() for finding in self.findings],
            "consequences": [
                {"fault": one.fault, "where": one.where, "explained_by": one.explained_by}
                for one in self.consequences
            ],
            "checked": list(self.checked),
            "passed": list(self.passed),
            "left_out": list(self.left_out),
        }


def without_repeats(words: Sequence[str]) -> tuple[str, ...]:
    """The words in their order, each once."""
    return tuple(dict.fromkeys(words))
