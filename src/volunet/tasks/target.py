"""`Target`: what a case has beside its image, on the model's grid, as each task has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from volunet.plan import Plan
from volunet.tasks import module_of
from volunet.volumes import Volume

if TYPE_CHECKING:
    from torch import Tensor


class PreparedTarget(NamedTuple):
    """What a case's cache keeps of its target.

    Attributes:
        array: What the network is to answer for the case, on the model's grid.
        places: Voxels that a patch may be centred on so that it shows something, (N, 4): a kind,
            of which all are drawn as often, then the index along D, H, W.
    """

    array: NDArray[Any]
    places: NDArray[np.int32]


class Cut(NamedTuple):
    """Where a patch lies in a case.

    Attributes:
        inside: The part of the patch that lies in the case, along D, H, W.
        widths: Voxels of the patch before and behind the case, on each axis.
    """

    inside: tuple[slice, ...]
    widths: list[tuple[int, int]]


class Target(Protocol):
    """Targets of one plan: onto the model's grid, cut with a patch, moved with its image."""

    def prepare(self, label: Volume, where: str | Path) -> PreparedTarget:
        """A case's target as its cache keeps it.

        Args:
            label: What the case's label file holds, on the image's grid.
            where: The case, for messages.

        Raises:
            VolumeError: It is not what the plan says.
        """
        ...

    def cut(self, array: NDArray[Any], cut: Cut) -> Tensor:
        """A patch of a target, as it is trained on."""
        ...

    def transformed(self, patch: Tensor) -> dict[str, Tensor]:
        """What batchgeneratorsv2 moves with the image, under its name for such targets."""
        ...

    def moved(self, patch: Tensor, answer: Mapping[str, Tensor]) -> Tensor:
        """The patch as it was moved, from what batchgeneratorsv2 answers."""
        ...


def target_of(plan: Plan) -> Target:
    """The target of a plan's task."""
    return cast(Target, module_of(plan.task.kind, "target").make_target(plan))
