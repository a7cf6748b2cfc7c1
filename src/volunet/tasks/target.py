"""`Target`: what a case has beside its image, on the model's grid, as each task has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from volunet.plan import Plan
from volunet.tasks import module_of
from volunet.volumes import Volume


class PreparedTarget(NamedTuple):
    """What a case's cache keeps of its target.

    Attributes:
        array: What the network is to answer for the case, on the model's grid.
        places: Voxels that a patch may be centred on so that it shows something, (N, 4): a kind,
            of which all are drawn as often, then the index along D, H, W.
    """

    array: NDArray[Any]
    places: NDArray[np.int32]


class Target(Protocol):
    """Brings targets onto the model's grid, for one plan."""

    def prepare(self, label: Volume, where: str | Path) -> PreparedTarget:
        """A case's target as its cache keeps it.

        Args:
            label: What the case's label file holds, on the image's grid.
            where: The case, for messages.

        Raises:
            VolumeError: It is not what the plan says.
        """
        ...


def target_of(plan: Plan) -> Target:
    """The target of a plan's task."""
    return cast(Target, module_of(plan.task, "target").make_target(plan))
