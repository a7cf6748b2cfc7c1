"""`Finding`: what the doctor says of one fault."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

Certainty = Literal["low", "medium", "high"]

CERTAINTIES: Final[tuple[Certainty, ...]] = ("high", "medium", "low")
"""In the order in which findings are told. ``high``: measured, and nothing healthy looks like it;
``medium``: measured, but a healthy case may look so now and then; ``low``: a hint."""


@dataclass(frozen=True)
class Finding:
    """One fault, with what was measured and what to do.

    Attributes:
        fault: The fault's name, the same in every version, such as ``label-shifted``.
        where: Where it is: cases, a layer, the curve, …
        evidence: What was measured, with figures and what a healthy one would have.
        cause: The likely cause.
        change: The change to make, as a command where one makes it.
        certainty: How sure it is.
        cases: Names of the cases that it is about, if it is about some.
    """

    fault: str
    where: str
    evidence: str
    cause: str
    change: str
    certainty: Certainty
    cases: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON has it."""
        return asdict(self)


def order_findings(findings: list[Finding]) -> list[Finding]:
    """The surest first; those equally sure stay in the order in which they were found."""
    return sorted(findings, key=lambda finding: CERTAINTIES.index(finding.certainty))
