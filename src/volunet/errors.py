"""Every error that volunet raises on purpose, and the one form in which it speaks.

A message says where the fault is, what was found, what was expected and what to do. Each class
is also the built-in error that a caller would expect, so ``except ValueError`` keeps working.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self


class VolunetError(Exception):
    """A fault that the user can mend, told in four parts.

    Args:
        where: The file, case, flag or node that is at fault.
        found: What was found there.
        expected: What would have been right.
        do: What to do about it.

    Example:
        >>> print(VolumeError("a.nii.gz", "4 axes", "A volume has 3 axes.", "Split the series."))
        a.nii.gz: 4 axes.
        A volume has 3 axes.
        Split the series.
    """

    exit_status = 2

    def __init__(self, where: str | Path, found: str, expected: str, do: str) -> None:
        self.where = str(where)
        self.found = found
        self.expected = expected
        self.do = do
        super().__init__(where, found, expected, do)

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, str, str]]:
        # As itself through a worker's pickle: OSError keeps only two of the arguments.
        return type(self), (self.where, self.found, self.expected, self.do)

    def __str__(self) -> str:
        lines = (f"{self.where}: {self.found}", self.expected, self.do)
        return "\n".join(line if line.endswith((".", ":", "?")) else line + "." for line in lines)


class ShapeError(VolunetError, ValueError):
    """A size that a network, an operator or an array does not take."""


class VolumeError(VolunetError, ValueError):
    """A scan or a label map that cannot be read as what it should be."""


class DatasetError(VolunetError, ValueError):
    """A folder or table of scans that cannot be used as a data set."""


class ConfigError(VolunetError, ValueError):
    """A flag, a plan or a run folder that does not fit."""


class TrainingError(VolunetError, RuntimeError):
    """A fit that cannot go on: its numbers are none, its time is over before it, a process died."""

    exit_status = 1


class OutputError(VolunetError, OSError):
    """A place that results cannot be written to."""


class EngineError(VolunetError, RuntimeError):
    """An inference engine that is missing or that refuses a model or a size."""


class ExportError(VolunetError, RuntimeError):
    """A model file whose answers are not the network's: the check said no."""

    exit_status = 1


class ReverseError(VolunetError, ValueError):
    """A model, or a picture of one, that no network can be read from."""
