"""A CSV table of cases: the layout for files that are named in no convention at all.

One row a case; columns ``image`` or ``image_<channel>`` (one a channel), a column of labels, by
whose name the task is known (``label``: label maps), and, if names shall not come from the files,
``case`` or ``id``. Paths are relative to the table's folder.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.layouts.names import case_name, sort_cases
from volunet.errors import DatasetError
from volunet.tasks.annotations import annotations_of_cells, columns

EXPECTED = "Table: a CSV file with the columns image (or image_<channel>, one each) and label"

_NAME_COLUMNS = ("case", "id")


def find(path: Path) -> bool:
    """Whether the path is a CSV file."""
    return path.is_file() and path.suffix.lower() == ".csv"


def read(path: Path) -> DataSet:
    """Read the table, and what its labels say of themselves.

    Raises:
        DatasetError: A column or a cell is missing, or the labels teach nothing.
    """
    header, rows = _read_rows(path)
    images = [name for name in header if name.lower() == "image" or _is_channel(name)]
    kinds = columns()
    labels = [name for name in header if name.lower() in kinds]
    if not images or len(labels) != 1:
        raise DatasetError(
            path,
            f"the columns {', '.join(header) or '(none)'}",
            f"A table has the columns image (or image_CT, image_PET, …) and {' or '.join(kinds)}, "
            "in its first line, separated by commas.",
            "Rename the columns, or save the table with commas.",
        )
    cells: dict[str, str] = {}
    cases = []
    for number, row in rows:
        case = _read_case(path, number, row, images, labels[0])
        cases.append(case)
        cells[case.name] = row[labels[0]]
    ordered = sort_cases(cases, path)
    sources, annotations = annotations_of_cells(kinds[labels[0].lower()], cells, path)
    return DataSet(
        name=path.stem,
        root=path,
        channels=tuple(name[len("image_") :] if _is_channel(name) else "image" for name in images),
        annotations=annotations,
        cases=tuple(replace(case, label=sources[case.name]) for case in ordered),
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
    return Case(named or case_name(files[0]), files)
