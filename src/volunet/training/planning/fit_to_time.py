"""The network, batch and precision that can converge in the time, by steps that are measured.

A network that is too wide for the time is worse than a narrow one: it ends before it has learnt.
What a step costs depends on the machine by a factor of a thousand, so it is measured, not assumed.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from volunet.errors import ConfigError
from volunet.plan import Plan
from volunet.training.config import MOST_VALIDATED, TrainingConfig
from volunet.training.fitting.budget import validation_interval_s
from volunet.training.planning.step_time import measure_step, precisions

_log = logging.getLogger(__name__)

WIDTHS: Final = (8, 16, 24, 32)
"""Channels of the top level that are tried; each lower level has twice as many."""

PATCH_SHARES: Final = (1.0, 0.5, 0.25, 0.125)
"""Shares of the largest patch's voxels that are tried."""

ENOUGH_STEPS: Final = 1500
"""Steps that a network is given to converge; a wider one is taken only if it has as many."""

FEWEST_STEPS: Final = 300
"""With fewer steps even of the narrowest network the patch becomes smaller."""

MEASURING_SHARE: Final = 0.03
"""Share of the time that may go into measuring."""

LARGEST_BATCH: Final = 8

VALIDATION_SHARE: Final = 0.05
"""Share of the time that validations may take, but for the fewest cases."""

FEWEST_VALIDATED: Final = 4
"""Cases that each validation looks at, whatever it takes: fewer would be chance."""

_PAYS: Final = 0.9
"""A precision is taken for its speed where a step takes at most this share of a float32 step."""

Replan = Callable[[int, float], Plan]
"""The plan with so many channels on top and this share of the largest patch's voxels."""


@dataclass(frozen=True)
class TimedPlan:
    """A plan that fits the time.

    Attributes:
        plan: The plan.
        config: The configuration, with its precision.
        steps: Steps that are left in the time, as one was measured.
    """

    plan: Plan
    config: TrainingConfig
    steps: int


def fit_to_time(
    replan: Replan,
    config: TrainingConfig,
    left_s: float,
    *,
    choose_network: bool,
    choose_batch: bool,
    choose_precision: bool,
) -> TimedPlan:
    """Choose what can converge in the time.

    Rule: the quickest precision; the largest patch with which the narrowest network makes
    `FEWEST_STEPS`; the widest network that makes `ENOUGH_STEPS`; then the largest batch that
    leaves four times as many. Measuring ends when it has taken `MEASURING_SHARE` of the time: the
    best found until then counts, and smaller patches by their voxels.

    Args:
        replan: Makes the plan of a width and a patch.
        config: How the network is fitted.
        left_s: Seconds that are left for steps.
        choose_network: Whether width and patch are to be chosen; else the widest of `WIDTHS` is
            asked of `replan`. A patch that it answers for every share is given, and stays.
        choose_batch: Whether the batch is to be chosen.
        choose_precision: Whether the precision is to be chosen.

    Raises:
        ConfigError: Memory is too small for a step.
    """
    clock = _Clock(MEASURING_SHARE * left_s)
    plan = replan(WIDTHS[0] if choose_network else WIDTHS[-1], PATCH_SHARES[0])
    step_s = measure_step(plan, config)
    if choose_precision and not clock.is_over:
        config, step_s = _quicker(plan, config, step_s)
    if choose_network:
        share = PATCH_SHARES[0]
        for smaller in PATCH_SHARES[1:]:
            if left_s / step_s >= FEWEST_STEPS:
                break
            its_plan = replan(WIDTHS[0], smaller)
            if its_plan == plan:  # volumes may be smaller than the share, or the patch be given
                continue
            if clock.is_over and step_s < math.inf:
                step_s *= math.prod(its_plan.patch_size) / math.prod(plan.patch_size)
            else:
                step_s = measure_step(its_plan, config)
            share, plan = smaller, its_plan
        for width in WIDTHS[1:]:
            wider = replan(width, share)
            # A wider network is at least as slow: without this much room it need not be tried.
            if clock.is_over or wider == plan or left_s / step_s < ENOUGH_STEPS:
                break
            its_step_s = measure_step(wider, config)
            if left_s / its_step_s < ENOUGH_STEPS:
                break
            plan, step_s = wider, its_step_s
    while choose_batch and not clock.is_over and left_s / step_s >= 8 * ENOUGH_STEPS:
        larger = plan.model_copy(update={"batch_size": 2 * plan.batch_size})
        if larger.batch_size > LARGEST_BATCH:
            break
        its_step_s = measure_step(larger, config)
        if left_s / its_step_s < 4 * ENOUGH_STEPS:
            break
        plan, step_s = larger, its_step_s
    if step_s == math.inf:
        raise _too_large(plan)
    config = replace(config, validation_cases=_affordable_cases(plan, left_s, step_s))
    steps = int(left_s / step_s)
    features = "–" if plan.network is None else ", ".join(map(str, plan.network.features))
    _log.info(
        "Network of %s channels, patches of %s voxels, batches of %d, %s: a step takes %.2f s "
        "here, about %d fit into the time.",
        features,
        "×".join(map(str, plan.patch_size)),
        plan.batch_size,
        config.precision,
        step_s,
        steps,
    )
    return TimedPlan(plan, config, steps)


def _quicker(plan: Plan, config: TrainingConfig, step_s: float) -> tuple[TrainingConfig, float]:
    for precision in precisions():
        if precision != config.precision:
            other = replace(config, precision=precision)
            its_step_s = measure_step(plan, other)
            if its_step_s <= _PAYS * step_s:
                config, step_s = other, its_step_s
    return config, step_s


def _too_large(plan: Plan) -> ConfigError:
    size = "×".join(map(str, plan.patch_size))
    return ConfigError(
        "volunet train",
        f"no room in memory for a step of {plan.batch_size} patches of {size} voxels",
        "Network, patch and batch fit into the memory that is free.",
        "Give a smaller --patch-size, fewer --features or --batch-size auto, or free memory.",
    )


def _affordable_cases(plan: Plan, left_s: float, step_s: float) -> int:
    """Validation cases that a validation can look at, each beside a training case."""
    # A pass forward is about a third of a step: the way back takes two.
    case_s = 2 * step_s / (3 * plan.batch_size)
    affordable = VALIDATION_SHARE * validation_interval_s(left_s) / case_s
    return max(FEWEST_VALIDATED, min(MOST_VALIDATED, int(affordable)))


class _Clock:
    """Whether the time for measuring is over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._end
