"""The learning-rate range test: which rates teach the run's network, and which throw it off."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from volunet.diagnosing.probes.material import Clock, Material, make_step
from volunet.training.fitting.budget import set_learning_rate

LOWEST: Final = 1e-5
HIGHEST: Final = 10.0

STEPS: Final = 49
"""Steps from `LOWEST` to `HIGHEST`: eight for each power of ten."""

_SMOOTHING: Final = 0.5
"""What is kept of the running mean of the loss at each step."""

_OFF: Final = 1.25
"""A network is off where the loss is so many times the lowest before, …"""

_BACK: Final = 0.25
"""… and where it has gone back by so much of what it had fallen."""


@dataclass(frozen=True)
class RangeTest:
    """Losses along a rising learning rate.

    Attributes:
        rates: Learning rate of each step, rising.
        losses: Loss before each step above that of a perfect answer, smoothed; the last may be no
            number.
    """

    rates: Sequence[float]
    losses: Sequence[float]

    @property
    def best(self) -> float:
        """The rate at which the loss was lowest."""
        return self.rates[self._lowest]

    @property
    def limit(self) -> float | None:
        """The rate at which the network was thrown off; None where none was."""
        lowest = self.losses[self._lowest]
        for index in range(self._lowest, len(self.losses)):
            loss = self.losses[index]
            fallen = self.losses[0] - lowest
            if not math.isfinite(loss) or loss > max(_OFF * lowest, lowest + _BACK * fallen):
                return self.rates[index]
        return None

    @property
    def fall(self) -> float:
        """Share of the first loss by which it fell, of what a perfect answer leaves."""
        return 1 - self.losses[self._lowest] / self.losses[0]

    @property
    def advice(self) -> float:
        """A rate to train with: a tenth of the best, rounded down to 1 or 3 times a power of ten.

        A fit at the best rate would soon be thrown off: the test has few steps, and the rate of
        the lowest loss lies next to the limit.
        """
        tenth = self.best / 10
        power: float = 10.0 ** math.floor(math.log10(tenth) + 1e-9)
        return 3 * power if tenth >= 2.999 * power else power

    @property
    def _lowest(self) -> int:
        finite = [index for index, loss in enumerate(self.losses) if math.isfinite(loss)]
        return min(finite, key=lambda index: self.losses[index], default=0)


def measure_rates(
    material: Material, seconds: float = math.inf, clock: Clock = time.monotonic
) -> RangeTest | None:
    """Train a fresh network for some steps, each at a higher rate than the one before.

    Args:
        material: What to train on; its batches by turns.
        seconds: The last step begins within them.
        clock: Seconds that only grow.

    Returns:
        None where the time was over before the highest rate.

    Source:
        The learning rate range test, https://arxiv.org/abs/1506.01186, section 3.3, with a rate
        that is multiplied and not added to, as rates differ by powers of ten.
    """
    end = clock() + seconds
    module = material.module()
    optimizer = module.configure_optimizers()
    rates = [LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1)) for step in range(STEPS)]
    losses: list[float] = []
    smoothed = 0.0
    for step, rate in enumerate(rates):
        if clock() >= end:
            return None
        set_learning_rate(optimizer, rate)
        loss = make_step(material, module, optimizer, step)
        smoothed = loss if step == 0 else _SMOOTHING * smoothed + (1 - _SMOOTHING) * loss
        losses.append(smoothed)
        if not math.isfinite(loss):
            break
    return RangeTest(rates[: len(losses)], losses)
