"""Label maps: the values that a data set declares, or that are found in them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.errors import DatasetError, VolumeError
from volunet.tasks.annotations import Shown, Source
from volunet.tasks.segmentation.colours import choose_colours
from volunet.tasks.segmentation.label_values import is_whole, to_class_indices
from volunet.tasks.segmentation.plan import Segmentation
from volunet.volumes import Volume, check_finite, check_same_grid, read_volume

COLUMN: Final = "label"
"""Column of a table of cases that names their label maps."""

MAX_CLASSES: Final = 256
"""Classes are held as uint8 indices."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelMaps:
    """Label maps of one data set.

    Implements `volunet.tasks.annotations.Annotations`, which documents the methods.

    Attributes:
        labels: Value in the label maps → class name, background (0) first, then ascending.
    """

    labels: Mapping[int, str]

    def read(self, source: Source, image: Volume) -> Volume:
        """The label map (1, D, H, W), with the file's own values."""
        label = read_volume(Path(source))
        check_same_grid(image.grid, label.grid, source)
        return label

    def check(self, source: Source, image: Volume | None) -> None:
        """Finite, on the image's grid, and of declared values."""
        label = read_volume(Path(source))
        check_finite(label)
        if image is not None:
            check_same_grid(image.grid, label.grid, source)
        if not to_class_indices(label.array, tuple(self.labels), source).any():
            _log.warning("%s: the label map holds background alone", source)

    def shown(self, label: Volume, image: Volume, where: Source) -> Shown:
        """The foreground, and the voxels of each class."""
        classes = to_class_indices(label.array[0], tuple(self.labels), where).reshape(-1)
        return Shown(np.flatnonzero(classes), np.bincount(classes, minlength=len(self.labels)))

    def check_shown(self, counts: NDArray[np.int64], where: Path) -> None:
        """Some foreground is there."""
        if not counts[1:].any():
            raise nothing_to_learn(where, "no voxel of any class but the background")

    def task(self) -> Segmentation:
        """A segmentation of the declared classes."""
        return Segmentation(
            classes=tuple(self.labels.values()),
            label_values=tuple(self.labels),
            colours=choose_colours(len(self.labels)),
        )


def read_cells(cells: Mapping[str, str], table: Path) -> tuple[dict[str, Source], LabelMaps]:
    """See `volunet.tasks.annotations.annotations_of_cells`; paths are relative to the table."""
    sources: dict[str, Source] = {case: table.parent / cell for case, cell in cells.items()}
    return sources, LabelMaps(_find_labels([Path(source) for source in sources.values()], table))


def check_class_count(labels: dict[int, str], where: Path) -> dict[int, str]:
    """The labels in ascending order of value, if a network can learn that many.

    Raises:
        DatasetError: Fewer than 2 or more than `MAX_CLASSES` classes.
    """
    if not 2 <= len(labels) <= MAX_CLASSES:
        raise DatasetError(
            where,
            f"{len(labels)} label values, background included",
            f"A data set has 2 to {MAX_CLASSES} classes, background included.",
            "Check the labels; an image given as a label map is the usual cause of too many.",
        )
    return dict(sorted(labels.items()))


def nothing_to_learn(where: Path, found: str) -> DatasetError:
    """The error for label maps that teach nothing."""
    return DatasetError(
        where,
        found,
        "Training needs label maps with at least one class.",
        "Check the label maps and the declared labels.",
    )


def _find_labels(label_maps: list[Path], where: Path) -> dict[int, str]:
    """Every whole value of the label maps, named by its number; 0 is the background.

    A map that cannot be read, or does not look like one, adds nothing: the check of the cases
    tells what is wrong with it.
    """
    values: set[int] = {0}
    for file in label_maps:
        try:
            found = np.unique(read_volume(file).array)
        except VolumeError as error:
            _log.debug("no label values from %s", error)
            continue
        if len(found) <= MAX_CLASSES and is_whole(found).all():
            values.update(int(value) for value in np.rint(found) if value >= 0)
    names = {value: "background" if value == 0 else f"class {value}" for value in sorted(values)}
    return check_class_count(names, where)
