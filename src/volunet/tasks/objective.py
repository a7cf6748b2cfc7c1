"""`Objective`: what a network of a task is fitted to, and how it is scored while it is. PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, cast

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from volunet.plan import Plan
from volunet.tasks import module_of


class Score(Protocol):
    """Collects the score of cases, one after the other."""

    def add(self, output: Tensor, target: Tensor) -> None:
        """Score the network's output, (1, K, D, H, W), of one case."""
        ...

    def take(self) -> Tensor | None:
        """The mean over what was added, from which it begins anew; None where nothing was."""
        ...


class Objective(Protocol):
    """What a network is fitted to, for one plan. Targets are those of the plan's task."""

    def make_loss(self, name: str) -> nn.Module:
        """The loss of outputs, (N, K, D, H, W) or several of them, and a target: a scalar.

        Raises:
            ConfigError: There is no loss of this name.
        """
        ...

    def make_score(self) -> Score:
        """What `volunet.plan.Task.score` says, of nothing yet."""
        ...

    def can_validate(self, taught: Iterable[ArrayLike], shown: Iterable[ArrayLike]) -> bool:
        """Whether a score of the validation patches tells anything; what is absent is logged.

        Args:
            taught: What the training cases show, as each case keeps it.
            shown: Targets of the validation patches, at least one.
        """
        ...

    def random_target(self, batch_size: int, size: Sequence[int], device: torch.device) -> Tensor:
        """A target of noise, for measurements of a step; size is (D, H, W)."""
        ...

    def perfect_output(self, target: Tensor) -> Tensor:
        """The output of a network that is right and sure, (N, K, D, H, W)."""
        ...


def objective_of(plan: Plan) -> Objective:
    """The objective of a plan's task."""
    return cast(Objective, module_of(plan.task.kind, "objective").make_objective(plan))
