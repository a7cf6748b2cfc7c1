"""Find out how a data set is laid out, and read it in place.

A layout is one module with ``EXPECTED`` (what it looks like, for messages), ``find(path)`` (is it
this one?) and ``read(path)``; a new one is such a module and one line in `LAYOUTS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from volunet.datasets.cases import DataSet
from volunet.datasets.layouts import msd, nnunet, table
from volunet.datasets.layouts.description import FILE_NAME
from volunet.errors import DatasetError


class Layout(Protocol):
    """What each module of a layout offers."""

    EXPECTED: str

    def find(self, path: Path) -> bool:
        """Whether the path is laid out like this."""

    def read(self, path: Path) -> DataSet:
        """Read the data set's list of cases."""


LAYOUTS: tuple[Layout, ...] = (
    nnunet,
    msd,
    table,
)
"""Asked in this order; the first that recognises the path reads it."""


def read_dataset(path: str | Path) -> DataSet:
    """Read a data set's list of cases.

    Args:
        path: A folder with a ``dataset.json`` (MSD, nnU-Net v2), that file, or a CSV table. Quotes
            around the path, as some shells and file managers leave them, are dropped.

    Returns:
        The labelled cases. Files that are listed but missing are found by
        `volunet.datasets.check.check_dataset`, together with all other faulty cases.

    Raises:
        DatasetError: The path does not exist, is laid out in no known way, or its description is
            wrong.
    """
    place = _clean(path)
    if place.name == FILE_NAME and place.is_file():
        place = place.parent
    if not place.exists():
        raise DatasetError(
            place,
            "no such file or folder",
            "A data set is a folder with a dataset.json, or a CSV table.",
            "Check the path.",
        )
    for layout in LAYOUTS:
        if layout.find(place):
            return layout.read(place)
    raise DatasetError(
        place,
        _describe(place),
        "One of these is expected. " + "; ".join(layout.EXPECTED for layout in LAYOUTS),
        _advise(place),
    )


def _clean(path: str | Path) -> Path:
    """The path without quotes around it, unless a file of that very name exists."""
    given = Path(path)
    if given.exists():
        return given
    return Path(str(path).strip().strip("\"'").strip()).expanduser()


def _describe(place: Path) -> str:
    if place.is_file():
        return f"a {place.suffix or 'nameless'} file"
    names = sorted(entry.name for entry in place.iterdir())
    if not names:
        return "an empty folder"
    if FILE_NAME in names:
        return f"{FILE_NAME} has none of the keys that tell its layout"
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"a folder without {FILE_NAME} (found: {', '.join(names[:5])}{rest})"


def _advise(place: Path) -> str:
    inside = sorted([*place.glob("*.csv"), *place.glob(f"*/{FILE_NAME}")])
    if inside:
        return f"Did you mean {inside[0]}?"
    return "Pass the folder or table of the data set, or list the files in a CSV table."
