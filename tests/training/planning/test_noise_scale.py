"""The noise scale against gradients whose mean and covariance are known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from volunet.errors import ConfigError
from volunet.nets import UNet3d
from volunet.tasks.segmentation.losses import SegmentationLoss
from volunet.training.planning.noise_scale import (
    NoiseScale,
    NoiseScaleEstimator,
    measure_noise_scale,
    unbiased_parts,
)

GRADIENT = np.array([0.6, -0.3, 0.2, 0.0, 0.4])
DEVIATIONS = np.array([1.0, 0.5, 0.2, 1.5, 0.8])
GRADIENT_SQUARED = float(GRADIENT @ GRADIENT)
TRACE = float(DEVIATIONS @ DEVIATIONS)
SCALE = TRACE / GRADIENT_SQUARED


class Linear(nn.Module):
    """Answers x · w: the gradient of the mean answer by w is the mean x, whatever w is."""

    def __init__(self, size: int = len(GRADIENT)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1, 1, 1, size) → (N,)."""
        return (x.flatten(1) * self.weight).sum(dim=1)


def mean(output: torch.Tensor, _label: torch.Tensor) -> torch.Tensor:
    return output.mean()


def patch_of(row: np.ndarray) -> dict[str, torch.Tensor]:
    image = torch.from_numpy(row.astype(np.float32)).reshape(1, 1, 1, -1)
    return {"image": image, "target": torch.zeros(1, 1, 1, len(row), dtype=torch.int64)}


def patches(seed, gradient=GRADIENT, deviations=DEVIATIONS):
    """Endless patches of `Linear`, each of which has its row as gradient."""
    rng = np.random.default_rng(seed)
    while True:
        yield patch_of(gradient + deviations * rng.normal(size=len(gradient)))


def pairs(seed, count, small, big, gradient=GRADIENT):
    """Squared norms (count, 2): the mean over the small batches in a big one, and the big one's."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, big // small, small, len(gradient)))
    means = (gradient + DEVIATIONS * noise).mean(axis=2)
    small_norms = (means**2).sum(axis=2).mean(axis=1)
    return np.stack([small_norms, (means.mean(axis=1) ** 2).sum(axis=1)], axis=1)


def noise_scale(small_norm_squared, big_norm_squared, small, big):
    """The estimate from a single pair."""
    estimator = NoiseScaleEstimator(small, big)
    estimator.add(small_norm_squared, big_norm_squared)
    return estimator.result().value


@pytest.mark.parametrize(("small", "big"), [(1, 2), (1, 8), (2, 8), (4, 16)])
def test_exact_norms_give_exact_parts(small, big):
    norms = [GRADIENT_SQUARED + TRACE / size for size in (small, big)]
    assert unbiased_parts(*norms, small, big) == pytest.approx((GRADIENT_SQUARED, TRACE))
    assert noise_scale(*norms, small, big) == pytest.approx(SCALE)


@pytest.mark.parametrize(("small", "big"), [(1, 8), (2, 8)])
def test_parts_are_unbiased(small, big):
    norms = pairs(0, 20_000, small, big)
    parts = np.array([unbiased_parts(*row, small, big) for row in norms])
    errors = parts.std(axis=0, ddof=1) / math.sqrt(len(parts))
    truth = np.array([GRADIENT_SQUARED, TRACE])
    assert (errors < 0.02 * truth).all()
    assert (np.abs(parts.mean(axis=0) - truth) < 3 * errors).all()
    # The big batch's own squared norm is too large by tr(Σ)/B, far beyond the error.
    excess = norms[:, 1].mean() - GRADIENT_SQUARED
    assert excess == pytest.approx(TRACE / big, rel=0.05)
    assert excess > 20 * errors[0]


def test_norms_without_a_gradient():
    # |G|² of 8 · 1 − 1 · 8 over 7 is 0, and of less it is below 0.
    assert noise_scale(8.0, 1.0, 1, 8) == math.inf
    assert noise_scale(8.0, 0.5, 1, 8) == math.inf
    assert noise_scale(8.0, 1.1, 1, 8) == pytest.approx(69.0)


def test_norms_without_noise():
    assert noise_scale(4.0, 4.0, 1, 8) == 0.0
    # A trace below 0 is chance, and no noise scale is below 0.
    assert noise_scale(4.0, 4.1, 1, 8) == 0.0


@pytest.mark.parametrize(("small", "big"), [(0, 4), (4, 4), (8, 4)])
def test_sizes_that_say_nothing(small, big):
    words = f"a small batch of {small} and a big one of {big}"
    with pytest.raises(ConfigError, match=words):
        unbiased_parts(1.0, 1.0, small, big)
    with pytest.raises(ConfigError, match=words):
        NoiseScaleEstimator(small, big)


def estimate(seed, count, gradient=GRADIENT):
    estimator = NoiseScaleEstimator(1, 8)
    for row in pairs(seed, count, 1, 8, gradient):
        estimator.add(*row)
    return estimator.result()


def test_standard_errors_are_the_spread_of_repetitions():
    results = [estimate(seed, 100) for seed in range(400)]
    values = np.array([result.value for result in results])
    spread = values.std(ddof=1)
    # 400 repetitions tell a spread to 4 %; the delta method leaves out what is of second order.
    assert np.mean([r.standard_error for r in results]) == pytest.approx(spread, rel=0.15)
    gradients = np.array([result.gradient_squared for result in results])
    error = np.mean([r.gradient_squared_error for r in results])
    assert error == pytest.approx(gradients.std(ddof=1), rel=0.1)
    # The ratio of means is biased by far less than its error, the mean of ratios is not.
    assert values.mean() == pytest.approx(SCALE, abs=0.5 * spread)
    ratios = [noise_scale(*row, 1, 8) for row in pairs(0, 100, 1, 8)]
    assert not abs(np.mean(ratios) - SCALE) < 5 * spread


def test_more_pairs_have_a_smaller_error():
    few, many = estimate(0, 50), estimate(0, 800)
    assert many.standard_error == pytest.approx(few.standard_error / 4, rel=0.5)
    assert abs(many.value - SCALE) < 3 * many.standard_error
    assert (few.pairs, many.pairs) == (50, 800)


def test_lost_gradient_is_said():
    result = estimate(0, 50, gradient=np.zeros(5))
    assert not result.is_determined
    assert abs(result.gradient_squared) < 3 * result.gradient_squared_error
    words = r"undetermined from 50 pairs of batches after 0 steps, as the gradient is lost in its "
    assert str(result).startswith(words + f"noise: at least {result.lowest:.2g} patches")
    # Four times the scale of the gradient above is ruled out, though |G|² itself is not known.
    assert 4 * SCALE < result.lowest < math.inf


def test_lowest_is_below_the_value():
    result = estimate(0, 400)
    assert result.is_determined
    assert 0.6 * result.value < result.lowest < result.value
    assert str(result) == f"{result.value:.2g} ± {result.standard_error:.1g} patches from 400 " + (
        "pairs of batches after 0 steps"
    )


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pairs_are_said(count):
    result = estimate(0, count)
    assert not result.is_determined
    assert result.standard_error == result.gradient_squared_error == math.inf
    assert result.lowest == 0.0
    pairs = {0: "0 pairs", 1: "1 pair"}[count]
    words = f"undetermined from {pairs} of batches after 0 steps, as it takes 2 pairs"
    assert str(result) == words


def test_pairs_may_be_left_out():
    estimator = NoiseScaleEstimator(1, 2)
    for small in (100.0, 5.0, 5.0):
        estimator.add(small, 3.0)
    assert estimator.result(first=1, seconds=2.5) == NoiseScale(
        value=4.0,
        standard_error=0.0,
        gradient_squared=1.0,
        gradient_squared_error=0.0,
        trace=4.0,
        pairs=2,
        steps_before=1,
        seconds=2.5,
    )
    assert estimator.result().gradient_squared < 0


@pytest.mark.parametrize(("micro_batch", "micro_batches"), [(1, 8), (3, 4)])
def test_measured_on_a_network(micro_batch, micro_batches):
    sizes = {"micro_batch": micro_batch, "micro_batches": micro_batches}
    result = measure_noise_scale(Linear(), mean, patches(1), steps=400, **sizes)
    assert result.pairs == result.steps_before == 200
    assert result.standard_error < 0.2 * SCALE
    # In patches, not in micro batches, of which it would be a third in the second case.
    assert abs(result.value - SCALE) < 2 * result.standard_error
    assert result.trace == pytest.approx(TRACE, rel=0.1)


def test_patches_that_agree():
    same = itertools.repeat(patch_of(GRADIENT))
    result = measure_noise_scale(Linear(), mean, same, steps=8)
    assert result.is_determined
    # float32 norms differ in their last digits.
    assert result.value == pytest.approx(0.0, abs=1e-5)
    assert result.gradient_squared == pytest.approx(GRADIENT_SQUARED, rel=1e-5)


def test_second_half_counts():
    still = itertools.repeat(patch_of(GRADIENT), 10 * 4)
    result = measure_noise_scale(Linear(), mean, itertools.chain(still, patches(2)), steps=20)
    alone = NoiseScaleEstimator(1, 4)
    drawn = patches(2)
    for _ in range(10):
        rows = np.stack([next(drawn)["image"].numpy().ravel() for _ in range(4)])
        alone.add((rows**2).sum(axis=1).mean(), (rows.mean(axis=0) ** 2).sum())
    assert (result.pairs, result.steps_before) == (10, 10)
    assert result.value == pytest.approx(alone.result().value, rel=1e-4)
    assert result.value > 1.0


def test_the_copy_learns():
    # The gradient of ½(x·w)² falls with w; without steps it would stay at its first value.
    def square(output, _label):
        return 0.5 * (output**2).mean()

    network = Linear()
    nn.init.ones_(network.weight)
    settings = {"learning_rate": 0.1, "steps": 40}
    ones = np.ones(5)
    result = measure_noise_scale(network, square, patches(0, ones, 0 * ones), **settings)
    first = 25.0 * 5
    assert result.gradient_squared < 0.5 * first
    assert network.weight.tolist() == [1.0] * 5


def test_network_is_left_as_it_was():
    torch.manual_seed(0)
    network = UNet3d(1, 2, features=(4, 8), norm="batch", dropout=0.5).eval()
    network.head.weight.grad = torch.ones_like(network.head.weight)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()

    def noise():
        rng = np.random.default_rng(0)
        while True:
            image = torch.from_numpy(rng.normal(size=(1, 4, 4, 4)).astype(np.float32))
            yield {"image": image, "target": (image > 0).long()}

    result = measure_noise_scale(network, SegmentationLoss(), noise(), micro_batch=2, steps=4)
    assert result.pairs == 2
    assert result.gradient_squared_error < math.inf
    after = network.state_dict()
    assert any("running_mean" in name for name in before)
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name
    assert not network.training
    assert torch.equal(network.head.weight.grad, torch.ones_like(network.head.weight))
    assert network.encoders[0].conv1.weight.grad is None
    assert torch.equal(torch.get_rng_state(), state)


def test_stops_when_the_next_step_would_be_late():
    # Each look at the clock is a second later: a look before each step, and one at each end.
    ticks = itertools.count()
    result = measure_noise_scale(
        Linear(), mean, patches(0), seconds=7.5, clock=lambda: float(next(ticks))
    )
    # Before step n, n + 1 seconds are gone: n = 6 would end at 7 · 7 / 6 s.
    assert (result.steps_before, result.pairs) == (3, 3)
    assert result.seconds == 8.0
    nothing = measure_noise_scale(Linear(), mean, patches(0), seconds=-1.0)
    assert (nothing.pairs, nothing.is_determined) == (0, False)


def test_stops_where_patches_end():
    result = measure_noise_scale(Linear(), mean, itertools.islice(patches(0), 4 * 3 + 2))
    assert (result.steps_before, result.pairs) == (0, 3)


def test_stops_at_a_gradient_that_is_no_number():
    broken = itertools.chain(
        itertools.islice(patches(0), 4 * 6), itertools.repeat(patch_of(GRADIENT * np.nan))
    )
    result = measure_noise_scale(Linear(), mean, broken)
    assert (result.steps_before, result.pairs) == (3, 3)
    assert math.isfinite(result.trace)


def test_one_pass_a_step_is_no_pair():
    with pytest.raises(ConfigError, match="a small batch of 2 and a big one of 2"):
        measure_noise_scale(Linear(), mean, patches(0), micro_batch=2, micro_batches=1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_of_activations(precision):
    seen = set()

    def note(output, _label):
        seen.add(output.dtype)
        return output.float().mean()

    measure_noise_scale(nn.Conv3d(1, 1, 1), note, patches(0), steps=1, precision=precision)
    assert seen == {getattr(torch, precision)}
