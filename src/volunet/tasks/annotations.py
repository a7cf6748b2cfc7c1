"""`Annotations`: what a data set says of its cases' labels, as each task has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from volunet.plan import TASKS, Task
from volunet.tasks import module_of
from volunet.volumes import Volume

Source = Path | str
"""What a case is labelled with: a file, or what the cell of a table says."""


class Shown(NamedTuple):
    """What the label of one case shows.

    Attributes:
        voxels: Voxels whose intensities tell what the task is about, as flat indices.
        counts: How many voxels each class has, the background first; empty for a task without
            classes.
    """

    voxels: NDArray[np.intp]
    counts: NDArray[np.int64]


class Annotations(Protocol):
    """The labels of a data set."""

    def read(self, source: Source, image: Volume) -> Any:
        """Read the label of a case, as `volunet.tasks.target.Target.prepare` takes it.

        Raises:
            VolumeError: It cannot be read, or does not fit the image.
        """
        ...

    def check(self, source: Source, image: Volume | None) -> None:
        """Check a label as a whole; what is odd but can be trained on is logged.

        Args:
            source: The label.
            image: The case's image; None where that cannot be read.

        Raises:
            VolumeError: It cannot be trained on.
            ShapeError: Likewise.
        """
        ...

    def shown(self, label: Any, image: Volume, where: Source) -> Shown:
        """What a label shows."""
        ...

    def check_shown(self, counts: NDArray[np.int64], where: Path) -> None:
        """Check that the counts of all cases together can teach something.

        Raises:
            DatasetError: They cannot.
        """
        ...

    def task(self) -> Task:
        """What a model that is trained on them answers."""
        ...


def columns() -> dict[str, str]:
    """Name of the column that holds the labels in a table of cases → kind of task."""
    return {module_of(kind, "annotations").COLUMN: kind for kind in TASKS}


def annotations_of_cells(
    kind: str, cells: Mapping[str, str], table: Path
) -> tuple[dict[str, Source], Annotations]:
    """What a table says of its cases' labels.

    Args:
        kind: The kind of task.
        cells: Case → what its cell says.
        table: The table.

    Returns:
        Case → its label; and what is known of them all.

    Raises:
        DatasetError: A cell cannot be read, or all together can teach nothing.
    """
    found = module_of(kind, "annotations").read_cells(cells, table)
    return cast(tuple[dict[str, Source], Annotations], found)
