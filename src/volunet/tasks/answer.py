"""`Answer`: from a network's output to the result on a scan's own grid, as each task has it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from volunet.plan import Plan
from volunet.tasks import module_of
from volunet.volumes import Volume
from volunet.volumes.axes import Shape3
from volunet.volumes.grid import Grid


class Receiver(Protocol):
    """Takes the scores of a scan slab by slab, and makes the result of them."""

    def push(self, scores: NDArray[np.float32]) -> None:
        """Take the next slices, (`Answer.num_scores`, …)."""
        ...

    def result(self) -> Any:
        """The result, of one that is made in memory, once all slices were taken."""
        ...


class Answer(Protocol):
    """What a model's output means, for one plan.

    A pass, whole or streamed, computes `scores` of what the network answers, puts `outside` around
    a smaller answer, and hands all of it to `onto`, or piece by piece to what `receive` opens. What
    comes out, the result, is whatever the task answers for a scan: a label map, points, a number.
    """

    @property
    def num_scores(self) -> int:
        """Channels of `scores`."""
        ...

    def check(self, where: str) -> None:
        """Check that the model gives what is asked of it.

        Args:
            where: The scan, for the message.

        Raises:
            VolumeError: It does not.
        """
        ...

    def scores(self, output: NDArray[Any]) -> NDArray[np.float32]:
        """What is brought onto the scan's grid, of a whole volume or of some of its slices.

        Args:
            output: What the model answers, (K, D, H, W).

        Returns:
            (`num_scores`, D, H, W).

        Raises:
            VolumeError: The model answers another number of channels than the plan says.
        """
        ...

    def outside(self, size: Shape3) -> NDArray[np.float32]:
        """Scores of a size, (D, H, W), where the network has no answer."""
        ...

    def onto(self, scores: Volume, grid: Grid) -> Any:
        """The result on the scan's own grid, from the scores of the whole volume."""
        ...

    def receive(
        self, on_grid: Grid, grid: Grid, axis: int, scratch: Path, path: Path | None
    ) -> AbstractContextManager[Receiver]:
        """The same slab by slab, into a file or in memory.

        Args:
            on_grid: The scan's grid as the model takes it.
            grid: The scan's own grid.
            axis: The axis of `on_grid`, 0 to 2, along which slices come.
            scratch: An empty folder for what is in between.
            path: The file, which is whole when the context ends; None: in memory.
        """
        ...

    def file_name(self, name: str, *, as_zarr: bool) -> str:
        """Name of the file that a scan's result is written to.

        Args:
            name: The scan's name.
            as_zarr: Whether the scan is an OME-Zarr, and so might be its result.
        """
        ...

    def write(self, result: Any, path: Path, scratch: Path) -> None:
        """Write a result under a name that `file_name` gave.

        Raises:
            OutputError: The file cannot be written.
        """
        ...


def answer_of(plan: Plan, *, probabilities: bool = False) -> Answer:
    """The answer of a plan's task.

    Args:
        plan: The plan.
        probabilities: How sure the model is, instead of what it decides.
    """
    make = module_of(plan.task.kind, "answer").make_answer
    return cast(Answer, make(plan, probabilities=probabilities))
