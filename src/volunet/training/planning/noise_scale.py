"""The gradient noise scale: how many patches a step can use before more of them add little.

A batch's gradient is the true gradient plus noise, whose variance falls as the batch grows. Where
both are as large, a larger batch saves few steps and a smaller one few patches: that batch is the
noise scale.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.utils.data import default_collate

from volunet.datasets.patches import Patch
from volunet.errors import ConfigError
from volunet.requests import Precision
from volunet.training.fitting.budget import schedule, set_learning_rate

STANDARD_ERRORS: Final = 2.0
"""Standard errors by which the estimate of |G|² must lie above 0 to be told from 0."""


@dataclass(frozen=True)
class NoiseScale:
    """An estimate of tr(Σ)/|G|², in patches.

    Attributes:
        value: The estimate; infinite where that of |G|² is not above 0.
        standard_error: Of `value`; infinite where it cannot be told.
        gradient_squared: |G|², the true gradient's squared norm; the estimate may be below 0.
        gradient_squared_error: Its standard error; infinite from a single pair.
        trace: tr(Σ), the variances of one patch's gradient, summed over the weights.
        pairs: Pairs of a small and a big batch that it is from.
        steps_before: Steps that were made before the first of the pairs.
        seconds: How long it took.
    """

    value: float
    standard_error: float
    gradient_squared: float
    gradient_squared_error: float
    trace: float
    pairs: int
    steps_before: int = 0
    seconds: float = 0.0

    @property
    def is_determined(self) -> bool:
        """Whether |G|² is told from 0; if not, `value` says nothing and `lowest` all there is."""
        return self.gradient_squared > STANDARD_ERRORS * self.gradient_squared_error

    @property
    def lowest(self) -> float:
        """What the noise scale is at the least: tr(Σ) over the largest |G|² that is likely."""
        largest = max(self.gradient_squared, 0.0) + STANDARD_ERRORS * self.gradient_squared_error
        return _ratio(self.trace, largest) if 0 < largest < math.inf else 0.0

    def __str__(self) -> str:
        pairs = "1 pair" if self.pairs == 1 else f"{self.pairs} pairs"
        origin = f"from {pairs} of batches after {self.steps_before} steps"
        if self.pairs < 2:
            return f"undetermined {origin}, as it takes 2 pairs"
        if not self.is_determined:
            return (
                f"undetermined {origin}, as the gradient is lost in its noise: "
                f"at least {self.lowest:.2g} patches"
            )
        return f"{self.value:.2g} ± {self.standard_error:.1g} patches {origin}"


def unbiased_parts(
    small_norm_squared: float, big_norm_squared: float, small_batch: int, big_batch: int
) -> tuple[float, float]:
    """|G|² and tr(Σ) from the squared norms of the mean gradient of two batch sizes.

    The squared norm at B patches is |G|² + tr(Σ)/B on average, so that two sizes are two equations.
    Both answers are unbiased, and may be below 0.

    Args:
        small_norm_squared: |G_b|² of a small batch, or the mean of several.
        big_norm_squared: |G_B|² of a big batch, or the mean of several.
        small_batch: Patches in the small batch, b.
        big_batch: Patches in the big batch, B.

    Raises:
        ConfigError: Not 1 ≤ b < B.

    Source:
        McCandlish et al. 2018, https://arxiv.org/abs/1812.06162, appendix A.1.

    Example:
        >>> unbiased_parts(5.0, 3.0, 1, 2)  # as 1 + 4/1 is 5 and 1 + 4/2 is 3
        (1.0, 4.0)
    """
    _check_sizes(small_batch, big_batch)
    gradient_squared = (big_batch * big_norm_squared - small_batch * small_norm_squared) / (
        big_batch - small_batch
    )
    trace = (small_norm_squared - big_norm_squared) / (1 / small_batch - 1 / big_batch)
    return gradient_squared, trace


class NoiseScaleEstimator:
    """Averages |G|² and tr(Σ) over pairs of batches; the ratio of the means is the estimate.

    The mean of the pairs' own ratios would follow those whose |G|² happens to be near 0.

    Args:
        small_batch: Patches in each small batch.
        big_batch: Patches in each big batch.

    Raises:
        ConfigError: Not 1 ≤ b < B.
    """

    def __init__(self, small_batch: int, big_batch: int) -> None:
        _check_sizes(small_batch, big_batch)
        self._sizes = small_batch, big_batch
        self._parts: list[tuple[float, float]] = []

    def add(self, small_norm_squared: float, big_norm_squared: float) -> None:
        """Add a pair, see `unbiased_parts`."""
        self._parts.append(unbiased_parts(small_norm_squared, big_norm_squared, *self._sizes))

    def result(self, *, first: int = 0, seconds: float = 0.0) -> NoiseScale:
        """The estimate from all pairs, or from pair number `first` on.

        The standard error is that of a ratio of means to the first order (the delta method).

        Args:
            first: Pairs from the beginning that are left out.
            seconds: How long the measurement took, for the answer.
        """
        parts = self._parts[first:]
        count = len(parts)
        gradient = sum(g for g, _ in parts) / max(1, count)
        trace = sum(t for _, t in parts) / max(1, count)
        value = _ratio(trace, gradient)
        gradient_error = error = math.inf
        if count > 1:
            gradient_error = _error_of_mean([g - gradient for g, _ in parts])
            if gradient > 0:
                slope = trace / gradient
                error = _error_of_mean([t - slope * g for g, t in parts]) / gradient
        return NoiseScale(
            value, error, gradient, gradient_error, trace, count, min(first, len(self._parts)),
            seconds,
        )  # fmt: skip


def measure_noise_scale(
    network: nn.Module,
    loss: Callable[..., Tensor],
    patches: Iterator[Patch],
    *,
    micro_batch: int = 1,
    micro_batches: int = 4,
    steps: int = 40,
    learning_rate: float = 3e-3,
    seconds: float = math.inf,
    precision: Precision = "float32",
    clock: Callable[[], float] = time.monotonic,
) -> NoiseScale:
    """Measure the noise scale early in the training of a network, which stays as it is.

    With fresh weights the gradients of all patches agree, and the noise scale is far too small. So
    a copy of the network is trained for some steps, of which the second half counts. Each step is a
    pair: the gradients of its micro batches are the small batches; their mean, by which the step is
    made, is the big one.

    Batch norm, or a Dice over the batch, makes a patch's gradient depend on what else is in the
    forward pass. What is measured is the noise at `micro_batch` patches a pass.

    Args:
        network: The network. Weights, buffers, gradients and mode stay, and the random state too.
        loss: Of the network's output and the label (N, 1, D, H, W): the mean over the batch.
        patches: Training patches in random order.
        micro_batch: Patches in a forward pass.
        micro_batches: Passes in a step, at least 2.
        steps: Steps at the most; fewer where `patches` or the time end, or a gradient is not
            finite.
        learning_rate: Of AdamW, which makes the copy's steps, behind the fit's linear rise.
        seconds: No step begins that would end later than this, if it takes as long as the others.
        precision: Of activations, as in the fit.
        clock: Seconds that only grow.

    Returns:
        The estimate from the steps that were made.

    Raises:
        ConfigError: `micro_batches` is below 2.
    """
    begin = clock()
    estimator = NoiseScaleEstimator(micro_batch, micro_batch * micro_batches)
    copied = copy.deepcopy(network).train()
    weights = [weight for weight in copied.parameters() if weight.requires_grad]
    device = weights[0].device
    optimizer = torch.optim.AdamW(weights, learning_rate)
    big_batch = micro_batch * micro_batches
    done = 0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        while done < steps and (clock() - begin) * (done + 1) <= seconds * max(1, done):
            drawn = list(islice(patches, big_batch))
            if len(drawn) < big_batch:
                break
            norms = []
            optimizer.zero_grad()
            for start in range(0, big_batch, micro_batch):
                batch = default_collate(drawn[start : start + micro_batch])
                image = batch["image"].to(device).contiguous(memory_format=torch.channels_last_3d)
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                    value = loss(copied(image), batch["target"].to(device))
                gradients = torch.autograd.grad(value, weights, materialize_grads=True)
                norms.append(_norm_squared(gradients))
                for weight, gradient in zip(weights, gradients, strict=True):
                    share = gradient / micro_batches
                    weight.grad = share if weight.grad is None else weight.grad.add_(share)
            big_norm_squared = _norm_squared([w.grad for w in weights if w.grad is not None])
            if not math.isfinite(big_norm_squared):
                break
            estimator.add(sum(norms) / micro_batches, big_norm_squared)
            set_learning_rate(optimizer, learning_rate * schedule(0.0, done))
            optimizer.step()
            done += 1
    # Of two or three steps, all: one pair has no standard error.
    return estimator.result(first=done // 2 if done > 3 else 0, seconds=clock() - begin)


def _check_sizes(small_batch: int, big_batch: int) -> None:
    if not 1 <= small_batch < big_batch:
        raise ConfigError(
            "the gradient noise scale",
            f"a small batch of {small_batch} and a big one of {big_batch}",
            "The small batch has at least 1 patch, and the big one has more.",
            "Give other sizes, for instance 1 and 8.",
        )


def _norm_squared(gradients: Sequence[Tensor]) -> float:
    return float(get_total_norm(gradients)) ** 2


def _ratio(trace: float, gradient_squared: float) -> float:
    # An estimate of tr(Σ) below 0 is one of no noise at all.
    return max(0.0, trace / gradient_squared) if gradient_squared > 0 else math.inf


def _error_of_mean(deviations: list[float]) -> float:
    count = len(deviations)
    return math.sqrt(sum(d * d for d in deviations) / (count - 1) / count)
