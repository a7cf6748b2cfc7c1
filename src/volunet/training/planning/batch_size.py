"""`--batch-size auto`: patches a step by the noise scale, patches a pass by the memory."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import torch

from volunet.datasets.cache import PreparedCase
from volunet.datasets.patches import Patch, TrainingPatches
from volunet.errors import ConfigError
from volunet.plan import Plan
from volunet.tasks.objective import objective_of
from volunet.training.config import TrainingConfig
from volunet.training.device import training_device
from volunet.training.fitting.network import training_network
from volunet.training.fitting.processes import num_processes
from volunet.training.planning.fit_to_time import FEWEST_STEPS
from volunet.training.planning.memory_limit import MemoryLimit, find_memory_limit
from volunet.training.planning.noise_scale import NoiseScale, measure_noise_scale

_log = logging.getLogger(__name__)

LEAST: Final = 2
"""Patches a step at the least, as batch norm's statistics of one patch are that patch's own."""

MOST: Final = 16
"""Patches a step at the most: the noise scale is a rule of thumb to within a factor of a few, and
a network in three dimensions is rarely given the time for enough steps of more."""

MEASURING_SHARE: Final = 0.03
"""Share of the minutes that may go into choosing."""

SHORTEST_S: Final = 20.0
"""Seconds that choosing is given at the least; the memory's process takes some to start."""

MEMORY_SHARE: Final = 0.6
"""Share of the choosing's time that the memory may take, which is measured first."""

MICRO_BATCHES: Final = 4
"""Passes in each step of the measurement of the noise."""


@dataclass(frozen=True)
class BatchChoice:
    """Patches in a forward pass, and passes in a step.

    Attributes:
        batch_size: Patches in a forward pass.
        accumulate: Passes whose gradients are averaged before a step.
        noise_scale: The estimate of the noise scale.
        reason: Why it is these, in one line.
    """

    batch_size: int
    accumulate: int
    noise_scale: NoiseScale
    reason: str


def choose_batch_size(
    plan: Plan,
    config: TrainingConfig,
    cases: Sequence[PreparedCase],
    *,
    patches_left: float = math.inf,
    seconds: float | None = None,
    device: torch.device | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> BatchChoice:
    """Choose the batch by what is measured, and log the choice with its reason.

    At the noise scale training takes twice the fewest steps that any batch would, and shows twice
    the fewest patches: a smaller batch pays in steps, a larger one in patches. What memory cannot
    hold in one pass is accumulated.

    Args:
        plan: Says network, patch and norm; its batch size is kept to where nothing is known.
        config: Says loss, learning rate, precision, seed and budget.
        cases: Training cases on the model's grid.
        patches_left: Patches that each process has the time for.
        seconds: Time that measuring may take; it then decides by what it has. None:
            `MEASURING_SHARE` of the minutes, but at least `SHORTEST_S`.
        device: Where training will run; None: `training_device`.
        clock: Seconds that only grow.

    Raises:
        ConfigError: Not even the smallest batch fits into memory.

    Source:
        McCandlish et al. 2018, https://arxiv.org/abs/1812.06162, equation 2.11 and figure 3.
    """
    begin = clock()
    if seconds is None:
        seconds = max(SHORTEST_S, MEASURING_SHARE * 60 * (config.minutes or 0.0))
    device = device or training_device()
    smallest = smallest_batch(plan)
    memory = find_memory_limit(
        plan, config, least=smallest, device=device, seconds=MEMORY_SHARE * seconds
    )
    if memory.largest_batch is not None and memory.largest_batch < smallest:
        raise _too_large(plan, smallest, memory)
    # Drawing weights here must not change those that the fit will draw.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = training_network(plan).to(device)
    noise = measure_noise_scale(
        network,
        objective_of(plan).make_loss(plan.task.loss(config.loss)).to(device),
        _numbered(TrainingPatches(cases, plan, config.seed)),
        micro_batch=min(LEAST, memory.largest_batch or LEAST),
        micro_batches=MICRO_BATCHES,
        learning_rate=config.adamw_learning_rate,
        seconds=seconds - (clock() - begin),
        precision=config.precision,
        clock=clock,
    )
    choice = decide(
        noise,
        memory,
        plan,
        num_cases=len(cases),
        processes=num_processes(),
        patches_left=patches_left,
    )
    _log.info(
        "Batch size: %d a pass, %d a step, chosen in %.0f s: %s.",
        choice.batch_size,
        choice.batch_size * choice.accumulate * num_processes(),
        clock() - begin,
        choice.reason,
    )
    return choice


def decide(
    noise: NoiseScale,
    memory: MemoryLimit,
    plan: Plan,
    *,
    num_cases: int,
    processes: int = 1,
    patches_left: float = math.inf,
) -> BatchChoice:
    """The choice that what was measured leads to.

    Patches a step are the noise scale, or the power of 2 that is nearest as a factor, from `LEAST`
    to `MOST`, to the number of cases and to what leaves the time for `FEWEST_STEPS`. Where the
    noise scale is undetermined they are the plan's batch, or the least that the noise scale may be
    if that is more. The processes share them. Patches a pass are as many of a process' share as
    memory holds, the plan's batch where that is not known.

    Args:
        noise: The noise scale.
        memory: The largest batch, at least 1 where it is known.
        plan: Says the batch that was planned, and the norm.
        num_cases: Training cases.
        processes: Processes that train one network together.
        patches_left: Patches that each of them has the time for.
    """
    wanted = noise.value if noise.is_determined else max(plan.batch_size, noise.lowest)
    of_cases = max(LEAST, _power_below(num_cases))
    in_time = max(LEAST, _power_below(int(min(processes * patches_left / FEWEST_STEPS, MOST))))
    most = min(MOST, of_cases, in_time)
    nearest = 2 ** round(math.log2(min(max(wanted, 1.0), 2.0 * MOST)))
    a_step = min(max(nearest, LEAST), most)
    reasons = [f"the gradient noise scale is {noise}"]
    if nearest < a_step:
        reasons.append(f"{LEAST} patches a step are the least")
    elif nearest > a_step:
        why = f", for {num_cases} cases" if most == of_cases < MOST else ""
        if in_time < min(of_cases, MOST):
            why = f", for {FEWEST_STEPS} steps in the time"
        reasons.append(f"{most} patches a step are the most{why}")
    reasons.append(memory.reason)
    holds = plan.batch_size if memory.largest_batch is None else memory.largest_batch
    share = max(smallest_batch(plan), _power_below(a_step // processes))
    a_pass = min(share, _power_below(holds))
    if a_pass == 1 and _has_batch_norm(plan):
        reasons.append(
            "a pass holds 1 patch, whose own statistics are all that batch norm gets: smaller "
            "patches, or group norm, would train better"
        )
    return BatchChoice(
        batch_size=a_pass,
        accumulate=share // a_pass,
        noise_scale=noise,
        reason="; ".join(reasons),
    )


def smallest_batch(plan: Plan) -> int:
    """2 where batch norm has one voxel of a patch at the deepest level, and takes 2; else 1."""
    return 2 if sees_one_voxel(plan) and _has_batch_norm(plan) else 1


def sees_one_voxel(plan: Plan) -> bool:
    """Whether a patch is one voxel at the deepest level, as 16×16×16 at a total stride of 16."""
    network = plan.network
    return network is not None and network.deepest_size(plan.patch_size) == (1, 1, 1)


def _has_batch_norm(plan: Plan) -> bool:
    return plan.network is not None and plan.network.norm == "batch"


def _numbered(patches: TrainingPatches) -> Iterator[Patch]:
    return (patches[index] for index in count())


def _power_below(number: int) -> int:
    """The largest power of 2 that is not above a number; 1 of a number below 1."""
    return 1 << max(0, number.bit_length() - 1)


def _too_large(plan: Plan, smallest: int, memory: MemoryLimit) -> ConfigError:
    size = "×".join(map(str, plan.patch_size))
    return ConfigError(
        "--batch-size auto",
        f"no room for a training step of {smallest} patch{'es' * (smallest > 1)} of {size} voxels "
        f"({memory.reason})",
        "At least the smallest batch fits into the memory that is free.",
        "Give smaller patches (--patch-size), fewer --features, or free memory.",
    )
