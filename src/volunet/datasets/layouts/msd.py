"""The Medical Segmentation Decathlon's layout: ``dataset.json`` lists the training pairs.

An image with several channels is one 4D file. Labels are written value → name.
"""

from __future__ import annotations

from pathlib import Path

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.layouts.description import (
    Description,
    find_description,
    read_channels,
    read_labels,
)
from volunet.datasets.layouts.names import case_name, is_leftover, sort_cases
from volunet.errors import DatasetError
from volunet.tasks.segmentation.annotations import LabelMaps

EXPECTED = 'MSD: a folder with a dataset.json that has "training", "modality" and "labels"'

_EXAMPLE = '"training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]'


def find(path: Path) -> bool:
    """Whether the folder is laid out like MSD.

    Raises:
        DatasetError: Its ``dataset.json`` is not JSON.
    """
    description = find_description(path)
    return description is not None and description.has("training", "modality", "tensorImageSize")


def read(path: Path) -> DataSet:
    """Read the folder's ``dataset.json``; the scans themselves are not opened.

    Raises:
        DatasetError: A key is missing or wrong, or no labelled case is listed.
    """
    description = find_description(path)
    if description is None:
        raise DatasetError(path, "no dataset.json", EXPECTED, "Pass the folder that has it.")
    entries = description.require("training", _EXAMPLE)
    if not isinstance(entries, list):
        raise description.wrong("training", f"{entries!r}", f"It must be a list: {_EXAMPLE}.")
    cases = [_read_case(description, number, entry) for number, entry in enumerate(entries)]
    name = description.content.get("name")
    return DataSet(
        name=name if isinstance(name, str) and name else path.resolve().name,
        root=path,
        channels=read_channels(description, "modality"),
        annotations=LabelMaps(read_labels(description)),
        cases=sort_cases(
            (case for case in cases if not is_leftover(case.images[0])), description.file
        ),
    )


def _read_case(description: Description, number: int, entry: object) -> Case:
    image, label = (
        (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (None, None)
    )
    if not isinstance(image, str) or not isinstance(label, str):
        raise description.wrong(
            f"training[{number}]",
            f"{entry!r}",
            f"Each entry names an image and its label: {_EXAMPLE}.",
        )
    folder = description.file.parent
    return Case(case_name(Path(image)), (folder / image,), folder / label)
