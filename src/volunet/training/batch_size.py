"""``--batch-size auto``: patches a step by the gradient noise scale, patches a pass by the memory."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import torch
from torch import nn

from volunet.datasets.cache import PreparedCase
from volunet.datasets.patches import Patch, TrainingPatches
from volunet.errors import ConfigError
from volunet.nets import network_of
from volunet.plan import Plan
from volunet.training.config import TrainingConfig
from volunet.training.losses import SegmentationLoss
from volunet.training.memory_limit import MemoryLimit, find_memory_limit
from volunet.training.noise_scale import NoiseScale, measure_noise_scale

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
        memory_bytes_per_patch: Bytes that each patch of a pass takes; None where not known.
        limit: Patches in a pass that memory holds; None where not known.
        reason: Why it is these, in one line.
    """

    batch_size: int
    accumulate: int
    noise_scale: NoiseScale
    memory_bytes_per_patch: int | None
    limit: int | None
    reason: str


def choose_batch_size(
    plan: Plan,
    config: TrainingConfig,
    cases: Sequence[PreparedCase],
    *,
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
        seconds: Time that measuring may take; it then decides by what it has. None:
            `MEASURING_SHARE` of the minutes, but at least `SHORTEST_S`.
        device: Where training will run; None: CUDA if there is one, else the CPU.
        clock: Seconds that only grow.

    Raises:
        ConfigError: Not even the smallest batch fits into memory.

    Source:
        McCandlish et al. 2018, https://arxiv.org/abs/1812.06162, equation 2.11 and figure 3.
    """
    begin = clock()
    if seconds is None:
        seconds = max(SHORTEST_S, MEASURING_SHARE * 60 * (config.minutes or 0.0))
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # The initial weights are the fit's own affair: they do not depend on what is drawn here.
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = network_of(plan)
    least = 2 if has_batch_norm(network) else 1
    memory = find_memory_limit(
        plan, config, least=least, device=device, seconds=MEMORY_SHARE * seconds
    )
    if memory.largest_batch is not None and memory.largest_batch < 1:
        raise _too_large(plan, memory)
    in_a_pass = least if memory.largest_batch is None else min(least, memory.largest_batch)
    network = network.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    fractions = None if plan.fingerprint is None else plan.fingerprint.class_fractions
    noise = measure_noise_scale(
        network,
        SegmentationLoss(config.loss, fractions).to(device),
        _patches(TrainingPatches(cases, plan, config.seed)),
        micro_batch=in_a_pass,
        micro_batches=MICRO_BATCHES,
        learning_rate=config.highest_learning_rate,
        seconds=seconds - (clock() - begin),
        precision=config.precision,
        clock=clock,
    )
    choice = decide(
        noise, memory, batch_norm=least == 2, fallback=plan.batch_size, cases=len(cases)
    )
    _log.info(
        "Batch size: %d in a pass, %d in a step (%s; chosen in %.0f s).",
        choice.batch_size,
        choice.batch_size * choice.accumulate,
        choice.reason,
        clock() - begin,
    )
    return choice
