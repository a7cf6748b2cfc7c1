"""`Probed`: what all probes found, and `run_probes`, which runs them within some seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from volunet.diagnosing.probes.case_dice import CaseDice, measure_case_dice
from volunet.diagnosing.probes.learning_rate import STEPS as RATE_STEPS
from volunet.diagnosing.probes.learning_rate import RangeTest, measure_rates
from volunet.diagnosing.probes.material import Clock, find_cases, prepare_material
from volunet.diagnosing.probes.noise import measure_noise
from volunet.diagnosing.probes.one_batch import STEPS as ONE_BATCH_STEPS
from volunet.diagnosing.probes.one_batch import OneBatch, overfit_one_batch
from volunet.errors import DatasetError
from volunet.training.planning.noise_scale import NoiseScale
from volunet.training.record.run_folder import CACHE_FOLDER, WEIGHTS_FILE, Run, read_network

SECONDS: Final = 20.0
"""For all probes together, where nobody says."""

_FIXED_SHARE: Final = 0.6
"""Of the seconds, for the probes that have a fixed number of steps."""

_MOST_CASES: Final = 64
"""Cases that are searched for foreground."""

Counted = Callable[[str, int, int], None]
"""Told a stage, how much of it is done and how much there is."""


@dataclass(frozen=True)
class Probed:
    """What the probes found.

    Attributes:
        one_batch: Whether a batch can be learnt by heart.
        rates: Which learning rates teach.
        noise: How many patches a step can use.
        case_dice: Dice of the trained network, case by case.
        reason: Why what is None is None.
        voxel_share: Voxels of a probe's patch, as a share of the run's. The noise of a patch's
            gradient falls as its voxels grow, at the most in proportion.
    """

    one_batch: OneBatch | None = None
    rates: RangeTest | None = None
    noise: NoiseScale | None = None
    case_dice: CaseDice | None = None
    reason: str = "the probes were not run"
    voxel_share: float = 1.0


def run_probes(
    run: Run,
    seconds: float = SECONDS,
    counted: Counted | None = None,
    clock: Clock = time.monotonic,
) -> Probed:
    """Try the run's network out on the run's prepared cases.

    Args:
        run: The run.
        seconds: For all probes together; a probe that cannot end within them is left out.
        counted: Told how it goes.
        clock: Seconds that only grow.

    Raises:
        ConfigError: The plan names no network, or the weights are damaged.
    """
    end = clock() + seconds

    def tell(done: int) -> None:
        if counted:
            counted("probe", done, 4)

    try:
        cases = [case for case in find_cases(run, run.training)[:_MOST_CASES] if len(case.places())]
        if not cases:
            return Probed(reason=f"no prepared case with foreground in {CACHE_FOLDER}/")
        fixed_s = _FIXED_SHARE * seconds
        material = prepare_material(run, cases, fixed_s / (ONE_BATCH_STEPS + RATE_STEPS), clock)
        if material is None:
            return Probed(reason=f"the smallest step takes too long for {seconds:g} s of probes")
        material = material.with_foreground()
        if not material.batches:
            return Probed(reason="no patch of the probes shows foreground")
        tell(0)
        one_batch = overfit_one_batch(material, end - clock(), clock)
        tell(1)
        rates = measure_rates(material, end - clock(), clock)
        tell(2)
        case_dice = _of_cases(run, end - clock(), clock)
        tell(3)
        noise = measure_noise(material, end - clock(), clock)
        tell(4)
    except DatasetError as error:
        return Probed(reason=error.found)
    share = math.prod(material.run.plan.patch_size) / math.prod(run.plan.patch_size)
    return Probed(
        one_batch, rates, noise, case_dice, f"the {seconds:g} s of the probes were over", share
    )


def _of_cases(run: Run, seconds: float, clock: Clock) -> CaseDice | None:
    """Dice case by case; None where there are no weights or nothing validates."""
    validation = find_cases(run, run.validation)
    if not validation or not (run.folder / WEIGHTS_FILE).is_file():
        return None
    training = find_cases(run, run.training)
    return measure_case_dice(run, read_network(run), training, validation, seconds, clock)
