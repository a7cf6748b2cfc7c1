"""Normalisation as graph operators is the one of NumPy; the answer is the plan's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from volunet.nets.deployed import DeployedNetwork, normalise_tensor
from volunet.plan import Normalisation, Plan
from volunet.volumes.normalise import normalise

CLIP = Normalisation(kind="clip_zscore", low=-200, high=300, mean=40, std=75)
RULES = [Normalisation(kind="none"), Normalisation(kind="zscore"), CLIP]


def noise(mean: float, std: float, size: tuple[int, int, int] = (7, 9, 11)) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(mean, std, (1, *size)).astype(np.float32)


SCANS = {
    "noise": noise(100, 20),
    "negative": noise(-900, 300),
    "huge": noise(1e6, 1e5),
    "tiny": noise(0, 1e-4),
    "zero": np.zeros((1, 3, 4, 5), np.float32),
    "flat": np.full((1, 3, 4, 5), 1234.567, np.float32),
    "flat and huge": np.full((1, 5, 6, 7), 3.3e7, np.float32),
    "one voxel": np.full((1, 1, 1, 1), -1024, np.float32),
    "one bright voxel": np.pad(np.full((1, 1, 1, 1), 4000, np.float32), ((0, 0), *[(2, 3)] * 3)),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS.keys())
def test_the_graph_normalises_as_numpy_does(rule: Normalisation, scan: NDArray[np.float32]) -> None:
    got = normalise_tensor(torch.from_numpy(scan)[None], rule)[0].numpy()
    want = normalise(scan, [rule])
    assert got.dtype == want.dtype == np.float32
    # 2e-5 of values of about 1 (kind none: equal): float32 means against float64 means.
    tolerance = 0.0 if rule.kind == "none" else 2e-5 * max(1.0, float(np.abs(want).max()))
    assert np.abs(got - want).max() <= tolerance
    assert np.isfinite(got).all()


@pytest.mark.parametrize("value", [0.0, 1234.567, -1024.0, 3.3e7])
def test_a_flat_scan_normalises_to_nothing_rather_than_to_rounding(value: float) -> None:
    scan = torch.full((1, 1, 31, 37, 41), value)
    # float32 rounding of the mean is 1e-7 of it, and the divisor at least 1e-3 of it.
    assert normalise_tensor(scan, RULES[1]).abs().max().item() <= 1e-3


def test_zscore_means_zero_mean_and_unit_deviation() -> None:
    y = normalise_tensor(torch.from_numpy(SCANS["noise"])[None], RULES[1])
    assert y.mean().item() == pytest.approx(0, abs=1e-6)
    assert y.std(correction=0).item() == pytest.approx(1, abs=1e-6)


def test_clipping_comes_before_the_scale() -> None:
    x = torch.tensor([-1000.0, 40.0, 115.0, 9999.0]).reshape(1, 1, 1, 1, 4)
    expected = [(-200 - 40) / 75, 0.0, 1.0, (300 - 40) / 75]
    assert normalise_tensor(x, CLIP).flatten().tolist() == pytest.approx(expected)


def test_each_channel_has_its_own_rule(tiny_plan: Callable[..., Plan], trained: Any) -> None:
    plan = tiny_plan(channels=3, features=(2, 4), normalisation=tuple(RULES))
    network = trained(plan)
    x = np.concatenate([noise(0, 1), noise(700, 90), noise(0, 200)])
    with torch.inference_mode():
        got = DeployedNetwork(network, plan).eval()(torch.from_numpy(x)[None])
        want = network(torch.from_numpy(normalise(x, RULES))[None])
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def raw() -> torch.Tensor:
    return torch.from_numpy(noise(50, 120, (5, 7, 9)))[None]


def deployed(network: Any, plan: Plan, raw: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return DeployedNetwork(network, plan).eval()(raw)


def test_the_three_answers_of_one_network(
    tiny_plan: Callable[..., Plan], tiny_network: Any, raw: torch.Tensor
) -> None:
    logits, probabilities, labels = (
        deployed(tiny_network, tiny_plan(answer=answer), raw)
        for answer in ("logits", "probabilities", "labels")
    )
    assert logits.shape == probabilities.shape == (1, 3, 5, 7, 9)
    torch.testing.assert_close(probabilities, torch.softmax(logits, dim=1))
    assert labels.shape == (1, 1, 5, 7, 9)
    assert labels.dtype == torch.int64
    assert torch.equal(labels[:, 0], logits.argmax(dim=1))
    assert len(labels.unique()) > 1


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_of_the_network_itself_are_not_put_through_softmax_again(
    tiny_plan: Callable[..., Plan], trained: Any, raw: torch.Tensor, activation: str
) -> None:
    plan = tiny_plan(features=(2, 4), output_activation=activation, answer="probabilities")
    network = trained(plan)
    answer = deployed(network, plan, raw)
    assert torch.equal(answer, deployed(network, tiny_plan(answer="logits"), raw))
    assert not torch.allclose(answer, torch.softmax(answer, dim=1), atol=1e-3)
