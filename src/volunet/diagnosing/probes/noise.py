"""The gradient noise scale of a run's network on its own augmented patches, early in training."""

from __future__ import annotations

import itertools
import math
import time
from typing import Final

from volunet.datasets.patches import TrainingPatches
from volunet.diagnosing.probes.material import Clock, Material
from volunet.training.planning.noise_scale import NoiseScale, measure_noise_scale

STEPS: Final = 24
"""Steps of four passes each, of which the second half counts."""

FEWEST_PAIRS: Final = 4
"""Steps that must count; fewer have no standard error to speak of."""


def measure_noise(
    material: Material, seconds: float = math.inf, clock: Clock = time.monotonic
) -> NoiseScale | None:
    """Measure how many patches a step of the run's network can use.

    Args:
        material: The network and the cases.
        seconds: How long it may take.
        clock: Seconds that only grow.

    Returns:
        None where the time was over after too few steps.

    Raises:
        DatasetError: A prepared case cannot be read.
    """
    run = material.run
    patches = TrainingPatches(material.cases, run.plan, run.config.seed)
    module = material.module()
    noise = measure_noise_scale(
        module.network,
        module.loss,
        (patches[index] for index in itertools.count()),
        # Batch norm takes its statistics of what is in the pass: as in the fit, as far as it goes.
        micro_batch=run.plan.batch_size,
        steps=STEPS,
        learning_rate=run.config.adamw_learning_rate,
        seconds=seconds,
        clock=clock,
    )
    return noise if noise.pairs >= FEWEST_PAIRS else None
