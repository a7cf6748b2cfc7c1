"""What the probes work on: fixed patches of the run's prepared cases, small enough for the time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.utils.data import default_collate

from volunet.datasets.cache import PreparedCase
from volunet.datasets.patches import Patch, ValidationPatches
from volunet.errors import DatasetError
from volunet.plan import Plan, Size3
from volunet.tasks.objective import objective_of
from volunet.training.fitting.module import FittedModule
from volunet.training.fitting.telemetry import GRADIENT_NORM
from volunet.training.record.run_folder import CACHE_FOLDER, Run

LARGEST_BATCH: Final = 4
"""Patches in a probe's batch at the most: what is probed does not need more."""

FEWEST_STRIDES: Final = 2
"""A patch is not made smaller than so many voxels of the deepest level on an axis."""

_BATCHES: Final = 4
"""Batches of fixed patches."""

_TIMED: Final = 3
"""Steps that are timed; the quickest counts, as what else runs can only slow one down."""

Clock = Callable[[], float]
"""Seconds that only grow."""


@dataclass(frozen=True)
class Material:
    """What the probes work on.

    Attributes:
        run: The run, whose plan's patch and batch are made small enough.
        cases: The training cases that are prepared.
        batches: Fixed, unaugmented batches, each around the foreground of its cases.
        step_s: Seconds that a step takes.
        device: Where to compute.
    """

    run: Run
    cases: Sequence[PreparedCase]
    batches: Sequence[Patch]
    step_s: float
    device: torch.device

    def module(self) -> FittedModule:
        """The run's network with fresh weights, the same each time, and its loss."""
        with torch.random.fork_rng():
            torch.manual_seed(self.run.config.seed)
            module = FittedModule(self.run.plan, self.run.config)
        return module.to(self.device).train()

    @cached_property
    def floors(self) -> tuple[float, ...]:
        """Loss of each batch's perfect answer, which no network can take away.

        Losses of overlap count a class as missed that the batch does not show.
        """
        module = self.module()
        perfect = objective_of(self.run.plan).perfect_output
        labels = [batch["target"].to(self.device) for batch in self.batches]
        with torch.inference_mode():
            return tuple(float(module.loss(perfect(label), label)) for label in labels)

    def with_foreground(self) -> Material:
        """The same without the batches that show background alone, which teach nothing."""
        return replace(
            self, batches=[batch for batch in self.batches if bool((batch["target"] > 0).any())]
        )


def make_step(material: Material, module: FittedModule, optimizer: Optimizer, turn: int) -> float:
    """Make a step as the fit makes it, gradients clipped.

    Args:
        material: Its batches are taken by turns.
        module: The network and the loss, which is taken without the penalty of L1.
        optimizer: The optimizer of its weights.
        turn: Number of the step, which says the batch.

    Returns:
        The loss before the step, above that of a perfect answer.
    """
    index = turn % len(material.batches)
    batch = material.batches[index]
    image = batch["image"].to(material.device).contiguous(memory_format=torch.channels_last_3d)
    loss: Tensor = module.loss(module.network(image), batch["target"].to(material.device))
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    clip_grad_norm_(module.network.parameters(), GRADIENT_NORM)
    optimizer.step()
    return float(loss.detach()) - material.floors[index]


def find_cases(run: Run, names: Sequence[str]) -> list[PreparedCase]:
    """Cases that are prepared; of a member of a bagging run, those of the run.

    Args:
        run: The run.
        names: Names of the cases that are wanted, such as `Run.training`.
    """
    for folder in (run.folder / CACHE_FOLDER, run.folder.parent / CACHE_FOLDER):
        cases = [PreparedCase(name, folder) for name in names]
        found = [case for case in cases if case.is_whole]
        if found:
            return found
    return []


def not_finite(
    cases: Sequence[PreparedCase], seconds: float = math.inf, clock: Clock = time.monotonic
) -> tuple[list[str], int]:
    """Find cases whose prepared image holds a value that is not finite, or is damaged.

    Args:
        cases: The cases.
        seconds: The last image is begun within them.
        clock: Seconds that only grow.

    Returns:
        Their names, and how many cases were looked at.
    """
    end = clock() + seconds
    names: list[str] = []
    for looked_at, case in enumerate(cases):
        if clock() >= end:
            return names, looked_at
        if not _is_finite(case):
            names.append(case.name)
    return names, len(cases)


def prepare_material(
    run: Run, cases: Sequence[PreparedCase], longest_step_s: float, clock: Clock = time.monotonic
) -> Material | None:
    """Cut patches whose step does not take longer than it may.

    The patch is halved along its longest axis until a step is quick enough. What a step takes is
    measured at the smallest patch, and taken to grow with the voxels.

    Args:
        run: The run.
        cases: Prepared cases, at least one.
        longest_step_s: Seconds that a step may take.
        clock: Seconds that only grow.

    Returns:
        None where the smallest patch takes too long as well.

    Raises:
        ConfigError: The plan names no network.
        DatasetError: A prepared case cannot be read.
    """
    sizes = smaller_sizes(run.plan)
    smallest_s = _time_step(_cut(run, cases, sizes[-1], 0.0), clock)
    for size in sizes:
        step_s = smallest_s * math.prod(size) / math.prod(sizes[-1])
        if step_s <= longest_step_s:
            return _cut(run, cases, size, step_s)
    return None


def smaller_sizes(plan: Plan) -> list[Size3]:
    """The plan's patch, and smaller ones, in each of which the longest axis is halved.

    An axis that is halved is a multiple of the network's stride, and at least `FEWEST_STRIDES` of
    them. Of 40×40×56 voxels whose network halves three times, 40×40×24 comes next.

    Returns:
        Sizes in voxels, (D, H, W), the largest first.
    """
    strides = plan.network.total_stride if plan.network else (1, 1, 1)
    size = list(plan.patch_size)
    sizes: list[Size3] = [plan.patch_size]
    while True:
        halves = [
            (length, -axis)
            for axis, length in enumerate(size)
            if length // 2 >= FEWEST_STRIDES * strides[axis] and length > 1
        ]
        if not halves:
            return sizes
        axis = -max(halves)[1]
        half = size[axis] // 2
        size[axis] = half // strides[axis] * strides[axis]
        sizes.append((size[0], size[1], size[2]))


def _is_finite(case: PreparedCase) -> bool:
    try:
        return bool(np.isfinite(case.image()).all())
    except DatasetError:
        return False


def _cut(run: Run, cases: Sequence[PreparedCase], size: Size3, step_s: float) -> Material:
    batch_size = min(run.plan.batch_size, LARGEST_BATCH)
    plan = run.plan.model_copy(update={"patch_size": size, "batch_size": batch_size})
    wanted = _BATCHES * batch_size
    chosen = [cases[index * len(cases) // wanted] for index in range(wanted)]
    patches = ValidationPatches(chosen, plan)
    batches = [
        default_collate([patches[first + index] for index in range(batch_size)])
        for first in range(0, wanted, batch_size)
    ]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Material(replace(run, plan=plan), cases, batches, step_s, device)


def _time_step(material: Material, clock: Clock) -> float:
    module = material.module()
    optimizer = module.configure_optimizers()
    taken = []
    for _ in range(_TIMED):
        begin = clock()
        make_step(material, module, optimizer, 0)
        taken.append(clock() - begin)
    return min(taken)
