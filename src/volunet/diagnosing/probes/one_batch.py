"""Can the network learn one batch by heart? If not, no data will teach it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Final

import torch

from volunet.diagnosing.probes.material import Clock, Material, make_step

STEPS: Final = 60
"""Steps that the network gets."""

ENOUGH: Final = 0.6
"""Share of the first loss, of what a perfect answer leaves, that a network which learns comes below
within `STEPS`."""

LEARNING_RATE: Final = 3e-3
"""Of AdamW, whatever the run's optimizer: whether the network can learn is not its question."""


@dataclass(frozen=True)
class OneBatch:
    """How far one batch was learnt by heart.

    Attributes:
        steps: Steps that were made.
        loss_before: Loss of the fresh network, above that of a perfect answer.
        loss_after: The lowest that came.
        finished: Whether the network had all its steps, or came far enough with fewer.
    """

    steps: int
    loss_before: float
    loss_after: float
    finished: bool

    @property
    def share(self) -> float:
        """The lowest loss by the first; NaN where the first is no number."""
        return self.loss_after / self.loss_before if self.loss_before else math.nan

    @property
    def learns(self) -> bool:
        """Whether the loss came below `ENOUGH` of the first."""
        return self.share < ENOUGH


def overfit_one_batch(
    material: Material, seconds: float = math.inf, clock: Clock = time.monotonic
) -> OneBatch:
    """Train a fresh network on one fixed, unaugmented batch until it knows it.

    Args:
        material: What to train on.
        seconds: The last step begins within them.
        clock: Seconds that only grow.
    """
    end = clock() + seconds
    module = material.module()
    optimizer = torch.optim.AdamW(module.network.parameters(), LEARNING_RATE, weight_decay=0.0)
    losses: list[float] = []
    while len(losses) <= STEPS and (clock() < end or not losses):
        losses.append(make_step(material, module, optimizer, turn=0))
        if not math.isfinite(losses[-1]) or losses[-1] < ENOUGH * losses[0]:
            break
    lowest = min((loss for loss in losses if math.isfinite(loss)), default=math.nan)
    over = clock() >= end and len(losses) <= STEPS and lowest >= ENOUGH * losses[0]
    return OneBatch(len(losses) - 1, losses[0], lowest, finished=not over)
