"""``dataset.json``: what the MSD and the nnU-Net layout say about channels and labels.

Both layouts use one file name and nearly the same keys. The labels stand in either direction
(value → name in MSD, name → value in nnU-Net); people mix them up, so both are read everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from volunet.datasets.json_file import read_json
from volunet.errors import DatasetError
from volunet.tasks.segmentation.annotations import check_class_count

FILE_NAME = "dataset.json"


@dataclass(frozen=True)
class Description:
    """The content of one ``dataset.json``.

    Attributes:
        file: The file.
        content: Its keys and values, not yet checked.
    """

    file: Path
    content: dict[str, object]

    def has(self, *keys: str) -> bool:
        """Whether any of the keys is there."""
        return any(key in self.content for key in keys)

    def require(self, key: str, example: str) -> object:
        """The value of a key.

        Args:
            key: The key.
            example: How the entry looks, for the message.

        Raises:
            DatasetError: The key is missing.
        """
        if key not in self.content:
            found = ", ".join(sorted(self.content)) or "none"
            raise DatasetError(
                self.file,
                f'the key "{key}" is missing (keys found: {found})',
                f"The file needs an entry such as {example}.",
                "Add the entry.",
            )
        return self.content[key]

    def mapping(self, key: str, example: str) -> dict[str, object]:
        """The value of a key that must be an object with at least one entry.

        Raises:
            DatasetError: The key is missing, or its value is something else.
        """
        value = self.require(key, example)
        if not isinstance(value, dict) or not value:
            raise self.wrong(key, f"{value!r}", f"It must be an object such as {example}.")
        return value

    def wrong(self, key: str, found: str, expected: str) -> DatasetError:
        """The error for a value that does not fit its key."""
        return DatasetError(
            self.file, f'"{key}" holds {found}', expected, f'Correct "{key}" in the file.'
        )


def find_description(folder: Path) -> Description | None:
    """The description in a folder, or None where there is none.

    Raises:
        DatasetError: The file is not JSON, or not an object.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        return None
    content = read_json(file)
    if not isinstance(content, dict):
        raise DatasetError(
            file,
            f"a JSON {type(content).__name__}",
            'The file must be one object: {"labels": …, …}.',
            "Restore the data set's own file.",
        )
    return Description(file, content)


def read_channels(description: Description, key: str) -> tuple[str, ...]:
    """Channel names from ``{"0": "CT", "1": "PET"}``, in the order of their numbers.

    Args:
        description: The description.
        key: ``channel_names`` (nnU-Net) or ``modality`` (MSD).

    Raises:
        DatasetError: The numbers are not 0, 1, 2, …, or a name is not text.
    """
    example = f'"{key}": {{"0": "CT"}}'
    mapping = description.mapping(key, example)
    numbers = {_whole(number): name for number, name in mapping.items()}
    if None in numbers or set(numbers) != set(range(len(mapping))):
        raise description.wrong(
            key,
            f"the channels {', '.join(mapping)}",
            f"Channels are numbered from 0 without gaps, such as {example}.",
        )
    names = [numbers[number] for number in range(len(mapping))]
    if not all(isinstance(name, str) for name in names):
        raise description.wrong(key, f"{mapping!r}", "Each channel's name must be text.")
    return tuple(str(name) for name in names)


def read_labels(description: Description) -> dict[int, str]:
    """Label value → class name, background (0) first, then ascending.

    Both directions are read, and "background" in any case.

    Raises:
        DatasetError: A value is not a whole number ≥ 0, appears twice, is a region or the ignore
            label, 0 is missing, or there is no class besides the background.
    """
    key, example = "labels", '"labels": {"background": 0, "liver": 1}'
    mapping = description.mapping(key, example)
    _check_supported(description, mapping)
    by_value = all(_whole(text) is not None for text in mapping)
    pairs = [(k, v) if by_value else (v, k) for k, v in mapping.items()]
    labels: dict[int, str] = {}
    for raw, name in pairs:
        value = _whole(raw)
        if value is None or value < 0:
            raise description.wrong(
                key, f"{raw!r} as the value of {name!r}", "Label values are whole numbers ≥ 0."
            )
        if value in labels:
            raise description.wrong(
                key,
                f"the value {value} twice ({labels[value]!r} and {name!r})",
                "Each class needs a value of its own.",
            )
        text = str(name).strip()
        labels[value] = "background" if text.casefold() == "background" else text
    if 0 not in labels:
        raise description.wrong(
            key, f"no value 0 (values: {sorted(labels)})", "The background must be label 0."
        )
    return check_class_count(labels, description.file)


def _check_supported(description: Description, mapping: dict[str, object]) -> None:
    regions = [name for name, value in mapping.items() if isinstance(value, list)]
    if regions:
        raise description.wrong(
            "labels",
            f"regions, classes that are lists of values ({', '.join(regions)})",
            "Regions (overlapping classes) are not supported yet; each class has one value.",
        )
    names = [*mapping, *mapping.values()]
    if any(isinstance(name, str) and name.strip().casefold() == "ignore" for name in names):
        raise description.wrong(
            "labels",
            'an "ignore" label',
            "Voxels to be ignored are not supported yet; every voxel belongs to a class.",
        )


def _whole(value: object) -> int | None:
    """A whole number given as a number or as text, else None."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return None
