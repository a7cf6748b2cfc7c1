"""Case names: what remains of a file's name, and that no two cases share one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from volunet.datasets.cases import Case
from volunet.errors import DatasetError

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".img.gz", ".img", ".hdr")
"""Endings that are not part of a case's name; other dots are."""


def case_name(path: Path) -> str:
    """A file's name without its image ending.

    Example:
        >>> case_name(Path("imagesTr/patient_1.5T.nii.gz"))
        'patient_1.5T'
    """
    name = path.name
    ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def is_leftover(path: Path) -> bool:
    """Whether a file is a hidden companion (``._case.nii.gz``) that macOS leaves in archives."""
    return path.name.startswith(".")


def sort_cases(cases: Iterable[Case], where: Path) -> tuple[Case, ...]:
    """The cases in the order of their names.

    Args:
        cases: The labelled cases.
        where: The file or folder that lists them, for messages.

    Raises:
        DatasetError: There is no case, or two share a name.
    """
    ordered = tuple(sorted(cases, key=lambda case: case.name))
    if not ordered:
        raise DatasetError(
            where,
            "no labelled case",
            "Training needs at least one image with its label map.",
            "Add label maps, or check that this is the training part of the data set.",
        )
    counts = Counter(case.name for case in ordered)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DatasetError(
            where,
            f"{len(twice)} case names that appear more than once: {', '.join(twice[:10])}",
            "Predictions are written under the case's name, so that each must be unique.",
            "Rename the files, or list them in a CSV table with a column 'case'.",
        )
    return ordered
