"""A CSV table of cases: the layout for files that are named in no convention at all.

One row a case; columns ``image`` or ``image_<channel>`` (one a channel), ``label`` and, if names
shall not come from the files, ``case`` or ``id``. Paths are relative to the table's folder. A
table cannot name classes, so that their values are looked up in the label maps.
"""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import numpy as np

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.layouts.description import MAX_CLASSES, check_class_count
from volunet.datasets.layouts.names import case_name, sort_cases
from volunet.errors import DatasetError, VolumeError
from volunet.tasks.segmentation.label_values import is_whole
from volunet.volumes import read_volume

EXPECTED = "Table: a CSV file with the columns image (or image_<channel>, one each) and label"

_LOG = logging.getLogger(__name__)
_NAME_COLUMNS = ("case", "id")


def find(path: Path) -> bool:
    """Whether the path is a CSV file."""
    return path.is_file() and path.suffix.lower() == ".csv"


def read(path: Path) -> DataSet:
    """Read the table, and the label maps for the values that they hold.

    Raises:
        DatasetError: A column or a cell is missing, or the label maps hold no class.
    """
    header, rows = _read_rows(path)
    images = [name for name in header if name.lower() == "image" or _is_channel(name)]
    labels = [name for name in header if name.lower() == "label"]
    if not images or len(labels) != 1:
        raise DatasetError(
            path,
            f"the columns {', '.join(header) or '(none)'}",
            "A table has the columns image (or image_CT, image_PET, …) and label, in its first "
            "line, separated by commas.",
            "Rename the columns, or save the table with commas.",
        )
    cases = [_read_case(path, number, row, images, labels[0]) for number, row in rows]
    ordered = sort_cases(cases, path)
    return DataSet(
        name=path.stem,
        root=path,
        channels=tuple(name[len("image_") :] if _is_channel(name) else "image" for name in images),
        labels=_find_labels(ordered, path),
        cases=ordered,
    )


def _is_channel(column: str) -> bool:
    return column.lower().startswith("image_") and len(column) > len("image_")


def _read_rows(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The header, and each row that is not empty with its line number."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            header = [name.strip() for name in next(lines, [])]
            rows = [
                (lines.line_num, dict(zip(header, map(str.strip, line), strict=False)))
                for line in lines
                if any(cell.strip() for cell in line)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            path,
            f"not a readable CSV table ({error})",
            "A table is UTF-8 text with one case a line.",
            "Save it again as CSV in UTF-8.",
        ) from error
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DatasetError(
            path,
            f"the columns {', '.join(twice)} more than once",
            "Each column's name is unique.",
            "Rename them: image_1, image_2 for several channels.",
        )
    return header, rows


def _read_case(path: Path, line: int, row: dict[str, str], images: list[str], label: str) -> Case:
    empty = [column for column in (*images, label) if not row.get(column)]
    if empty:
        raise DatasetError(
            path,
            f"line {line} has no {' and no '.join(empty)}",
            "Each line names every image and the label of one case.",
            "Fill the cell, or remove the line.",
        )
    files = tuple(path.parent / row[column] for column in images)
    named = next((row[key] for key in row if key.lower() in _NAME_COLUMNS and row[key]), None)
    return Case(named or case_name(files[0]), files, path.parent / row[label])


def _find_labels(cases: tuple[Case, ...], where: Path) -> dict[int, str]:
    """Every whole value of the label maps, named by its number; 0 is the background.

    A map that cannot be read, or does not look like one, adds nothing: the check of the cases
    tells what is wrong with it.
    """
    values: set[int] = {0}
    for case in cases:
        if case.label is None:
            continue
        try:
            found = np.unique(read_volume(case.label).array)
        except VolumeError as error:
            _LOG.debug("no label values from %s", error)
            continue
        if len(found) <= MAX_CLASSES and is_whole(found).all():
            values.update(int(value) for value in np.rint(found) if value >= 0)
    names = {value: "background" if value == 0 else f"class {value}" for value in sorted(values)}
    return check_class_count(names, where)
