"""What the check for a fault answers, and the account of checks made and left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from volunet.diagnosing.finding import Finding


@dataclass(frozen=True)
class LeftOut:
    """A check, or a part of one, that could not be made.

    Attributes:
        reason: Why not.
        part: Which part of it; empty where it is the whole check.
    """

    reason: str
    part: str = ""


OF_LABELS: Final = ("segmentation",)
"""Tasks whose targets are label maps: they have a foreground, classes and a Dice."""


def other_task(tasks: Sequence[str], kind: str) -> LeftOut:
    """A check for some tasks, of a run or data set that is for another."""
    return LeftOut(f"it is for {' and '.join(tasks)}, and the task here is {kind}")


Answers = Sequence[Finding | LeftOut]
"""What is wrong, and what could not be looked at; empty where all is well."""


def leave_out(reasons: Mapping[str, str]) -> list[LeftOut]:
    """The parts of a check that could not be made.

    Args:
        reasons: For each part why not; empty for one that was made.

    Returns:
        One a part, or one for the whole check where no part was made.

    Example:
        >>> leave_out({"by the image": "", "by the other cases": "3 cases"})
        [LeftOut(reason='3 cases', part='by the other cases')]
        >>> leave_out({"by the image": "no border", "by the other cases": "3 cases"})
        [LeftOut(reason='by the image: no border; by the other cases: 3 cases', part='')]
        >>> leave_out({"by the image": "3 cases", "by the other cases": "3 cases"})
        [LeftOut(reason='3 cases', part='')]
    """
    left_out = [LeftOut(reason, part) for part, reason in reasons.items() if reason]
    if not left_out or len(left_out) < len(reasons):
        return left_out
    if len(set(reasons.values())) == 1:
        return [LeftOut(left_out[0].reason)]
    return [LeftOut("; ".join(f"{one.part}: {one.reason}" for one in left_out))]


@dataclass(frozen=True)
class Account:
    """The account of all checks.

    Attributes:
        checked: Faults that were looked for, at least in part.
        left_out: What was not looked for, and why.
    """

    checked: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def note(self, fault: str, answers: Answers) -> list[Finding]:
        """Note what the check for a fault answered.

        Returns:
            Its findings.
        """
        missing = [one for one in answers if isinstance(one, LeftOut)]
        if all(one.part for one in missing):
            self.checked.append(fault)
        self.left_out.extend(
            ": ".join(word for word in (fault, one.part, one.reason) if word) for one in missing
        )
        return [one for one in answers if isinstance(one, Finding)]
