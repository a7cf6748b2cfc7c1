"""`Answer`: from a network's output to the result on a scan's own grid, as each task has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from volunet.plan import Plan
from volunet.tasks import module_of
from volunet.volumes import Volume
from volunet.volumes.axes import Shape3
from volunet.volumes.grid import Grid


class Sink(Protocol):
    """Takes scores slab by slab, and gives planes of the scan's own grid as they are known."""

    def push(self, block: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Take the next slices, (K, …); give the number of the first plane, and (C, …) planes."""
        ...


class Answer(Protocol):
    """What a model's output means, for one plan.

    A pass, whole or streamed, computes `scores` of what the network answers, puts `outside` around
    a smaller answer, and hands all of it to `onto`, or piece by piece to a `sink`.
    """

    @property
    def num_scores(self) -> int:
        """Channels of `scores`."""
        ...

    @property
    def num_channels(self) -> int:
        """Channels of the result."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the result's voxels."""
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

    def onto(self, scores: Volume, grid: Grid) -> Volume:
        """The result on the scan's own grid, from the scores of the whole volume."""
        ...

    def sink(self, on_grid: Grid, grid: Grid, axis: int) -> Sink:
        """The same slab by slab.

        Args:
            on_grid: The scan's grid as the model takes it.
            grid: The scan's own grid.
            axis: The axis of `on_grid`, 0 to 2, along which slices come.
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
