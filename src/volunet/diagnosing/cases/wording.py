"""How findings name cases, axes and commands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from volunet.datasets.cases import DataSet

AXES: Final = ("D (foot to head)", "H (back to front)", "W (left to right)")
"""Of arrays that are turned to the plan's orientation, RAS."""

NO_CLASS: Final = "no label has a class"
"""Why labels cannot be judged at all."""

_NAMED: Final = 5


def name_cases(names: Sequence[str], total: int) -> str:
    """Where a finding is.

    Args:
        names: The cases that it is about.
        total: Cases that were looked at.

    Example:
        >>> name_cases(["a"], 9), name_cases(["a", "b"], 9), name_cases(["a", "b"], 2)
        ('case a', '2 of 9 cases: a, b', 'all 2 cases')
    """
    if len(names) == total > 1:
        return f"all {total} cases"
    if len(names) == 1:
        return f"case {names[0]}"
    return f"{len(names)} of {total} cases: {list_names(names)}"


def list_names(names: Sequence[str]) -> str:
    """The first few names and how many more there are.

    Example:
        >>> list_names(list("abcdefgh"))
        'a, b, c, d, e and 3 more'
    """
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def train_command(dataset: DataSet, flags: str) -> str:
    """The command that trains on the data set for half an hour, with some flags."""
    return f"volunet train {shlex.quote(str(dataset.root))} -o RUN --minutes 30 {flags}"


def few(count: int, needed: int, what: str = "to judge") -> str:
    """Why cases are too few; empty where they are enough.

    Example:
        >>> few(1, 4), few(3, 6, "with a border"), few(4, 4)
        ('1 case to judge, 4 are needed', '3 cases with a border, 6 are needed', '')
    """
    return f"{count} case{'s' * (count != 1)} {what}, {needed} are needed" if count < needed else ""
