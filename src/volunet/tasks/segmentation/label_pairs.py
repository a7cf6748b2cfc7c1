"""Which prediction belongs to which reference, and what their classes are called.

Evaluation reads folders in place: files are matched by name whatever their ending, and class names
come from the data set's own ``dataset.json``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from volunet.errors import DatasetError
from volunet.volumes.read import READERS

ENDINGS: Final = tuple(READERS)
"""Endings of the label maps that a folder is searched for; a mixed folder is fine."""


@dataclass(frozen=True)
class LabelPairs:
    """Predictions matched with references.

    Attributes:
        pairs: Case → prediction and reference, sorted by case.
        missing: Cases with a reference and no prediction.
        extra: Cases with a prediction and no reference.
    """

    pairs: dict[str, tuple[Path, Path]]
    missing: tuple[str, ...]
    extra: tuple[str, ...]


@dataclass(frozen=True)
class LabelNames:
    """The classes that a ``dataset.json`` declares.

    Attributes:
        names: Label value → class name, without background.
        ignored: Label value of voxels that nobody annotated (nnU-Net's ``ignore``), or None.
    """

    names: dict[int, str]
    ignored: int | None = None


def find_pairs(predictions: Path, references: Path) -> LabelPairs:
    """Match predictions with references by file name without ending.

    Two files are a pair whatever their names. Where one of the two is a file and the other a
    folder, only the file's partner is looked for.

    Args:
        predictions: Folder of label maps, or one.
        references: Folder of label maps, or one.

    Raises:
        DatasetError: A path does not exist, two files of a folder have one name, or nothing
            matches.
    """
    if predictions.is_file() and references.is_file():
        return LabelPairs({_case_of(references): (predictions, references)}, (), ())
    predicted, referenced = _list_label_maps(predictions), _list_label_maps(references)
    both = sorted(predicted.keys() & referenced.keys())
    if not both:
        raise DatasetError(
            predictions,
            f"no file that matches one of {references}. "
            f"Predictions: {_listed(predicted)}. References: {_listed(referenced)}",
            f"A prediction has its reference's name; endings ({', '.join(ENDINGS)}) may differ.",
            "Rename the files, or pass the two files of one case.",
        )
    return LabelPairs(
        {case: (predicted[case], referenced[case]) for case in both},
        missing=tuple(sorted(referenced.keys() - predicted)) if predictions.is_dir() else (),
        extra=tuple(sorted(predicted.keys() - referenced)) if references.is_dir() else (),
    )


def find_label_names(references: Path) -> LabelNames | None:
    """Find the classes of a folder of references, or of one.

    ``dataset.json`` is looked for in the references' folder and in the one above, and read in both
    directions: ``{"1": "femur"}`` (Medical Segmentation Decathlon) and ``{"femur": 1}`` (nnU-Net).
    A region of nnU-Net (a list of values) names no value of its own and is passed over.

    Args:
        references: Folder of label maps, or one.

    Returns:
        The classes, or None where no ``dataset.json`` declares any.

    Raises:
        DatasetError: The file is not JSON.
    """
    folder = (references if references.is_dir() else references.parent).absolute()
    for path in (folder / "dataset.json", folder.parent / "dataset.json"):
        if path.is_file():
            declared = _read_labels(path)
            if declared:
                return _named(declared)
    return None


def _read_labels(path: Path) -> dict[int, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DatasetError(
            path,
            f"not JSON: {error}",
            "A dataset.json beside the references names their classes.",
            "Mend or remove it.",
        ) from error
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, dict):
        return {}
    found = {}
    for key, value in labels.items():
        number, name = (key, value) if isinstance(value, str) and _is_whole(key) else (value, key)
        if _is_whole(number):
            found[int(number)] = str(name)
    return found


def _named(declared: dict[int, str]) -> LabelNames:
    ignored = next((value for value, name in declared.items() if name.lower() == "ignore"), None)
    names = {value: name for value, name in sorted(declared.items()) if value not in (0, ignored)}
    return LabelNames(names, ignored)


def _is_whole(value: Any) -> bool:
    return str(value).isdecimal()


def _list_label_maps(path: Path) -> dict[str, Path]:
    """Case → file; ``._name`` files, which macOS leaves in archives, are no label maps."""
    if not path.exists():
        raise DatasetError(
            path, "no such file or folder", "Label maps are read from it.", "Check the path."
        )
    files = [path]
    if path.is_dir():
        files = [
            file
            for file in sorted(path.iterdir())
            if file.is_file()
            and file.name.lower().endswith(ENDINGS)
            and not file.name.startswith(".")
        ]
    found: dict[str, Path] = {}
    for file in files:
        other = found.setdefault(_case_of(file), file)
        if other is not file:
            raise DatasetError(
                path,
                f"both {other.name} and {file.name}",
                "Each case has one label map in a folder.",
                "Remove one of the two.",
            )
    return found


def _case_of(path: Path) -> str:
    for ending in ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def _listed(files: dict[str, Path], most: int = 5) -> str:
    names = [path.name for path in files.values()]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "no label map"
