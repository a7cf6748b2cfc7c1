"""Cases on the model's grid, kept as memory-mapped arrays: prepared once, read by every worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0
from numpy.typing import NDArray

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.load import read_case
from volunet.errors import DatasetError
from volunet.plan import Plan
from volunet.tasks.target import target_of
from volunet.volumes import conform
from volunet.volumes.atomic import atomic_path
from volunet.volumes.normalise import normalise


@dataclass(frozen=True)
class PreparedCase:
    """One case on the model's grid.

    Attributes:
        name: The case's name.
        folder: Where its arrays lie.
    """

    name: str
    folder: Path

    def image(self) -> NDArray[np.float32]:
        """Normalised intensities, (C, D, H, W), memory-mapped."""
        array: NDArray[np.float32] = self._load("image", mmap_mode="r")
        return array

    def target(self) -> NDArray[Any]:
        """See `volunet.tasks.target.PreparedTarget.array`; memory-mapped."""
        return self._load("target", mmap_mode="r")

    def places(self) -> NDArray[np.int32]:
        """See `volunet.tasks.target.PreparedTarget.places`."""
        array: NDArray[np.int32] = self._load("places", mmap_mode=None)
        return array

    def _load(self, part: str, mmap_mode: Literal["r"] | None) -> NDArray[Any]:
        file = self.folder / f"{self.name}.{part}.npy"
        try:
            array: NDArray[Any] = np.load(file, mmap_mode=mmap_mode)
        except (ValueError, EOFError, OSError) as error:
            raise DatasetError(
                file,
                f"case {self.name}'s prepared array cannot be read "
                f"({str(error).splitlines()[0] if str(error) else type(error).__name__})",
                "It is as volunet wrote it.",
                "Delete it; volunet train --resume makes it again.",
            ) from error
        return array

    @property
    def _files(self) -> tuple[Path, ...]:
        return tuple(self.folder / f"{self.name}.{part}.npy" for part in _PARTS)

    @property
    def is_whole(self) -> bool:
        """Whether every array is there; each was written atomically."""
        return all(file.is_file() for file in self._files)


_PARTS: Final = ("image", "target", "places")


def prepare_cases(
    cases: Sequence[Case],
    dataset: DataSet,
    plan: Plan,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> list[PreparedCase]:
    """Bring cases onto the model's grid, and keep what is there already.

    Args:
        cases: Labelled cases.
        dataset: The data set that they belong to.
        plan: Says orientation, spacing, normalisation and task.
        folder: Where the arrays go; of this plan alone.
        progress: Called with the cases done and their number.

    Raises:
        DatasetError: A case has no label.
        VolumeError: A file cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prepared = []
    for done, case in enumerate(cases):
        entry = PreparedCase(case.name, folder)
        if not entry.is_whole:
            _prepare(case, dataset, plan, folder)
        prepared.append(entry)
        if progress:
            progress(done + 1, len(cases))
    return prepared


def _prepare(case: Case, dataset: DataSet, plan: Plan, folder: Path) -> None:
    image, label = read_case(case, dataset)
    if label is None:
        raise DatasetError(
            case.name, "no label map", "Training cases have one.", "Add it, or leave the case out."
        )
    x = normalise(conform(image, plan.orientation, plan.spacing_mm).array, plan.normalisation)
    array, places = target_of(plan).prepare(label, case.name)
    _save(folder / f"{case.name}.image.npy", x)
    _save(folder / f"{case.name}.target.npy", array)
    _save(folder / f"{case.name}.places.npy", places)


def _save(path: Path, array: NDArray[Any]) -> None:
    array = np.ascontiguousarray(array)
    # np.save's own writer says nothing of a full disk; a plain write does.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        write_array_header_1_0(file, header_data_from_array_1_0(array))
        file.write(array.data)
