"""Batch norm with fixed statistics, and with those of the batch."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.graph.operators import OPERATORS

NORM = OPERATORS["BatchNormalization"]


@pytest.fixture(scope="session")
def parameters(numbers: Any) -> Any:
    """Make scale, bias, mean and variance of some channels."""
    return lambda channels: [numbers(channels, seed=seed) for seed in range(1, 5)]


@pytest.mark.parametrize("opset", [9, 14, 15, 18])
@pytest.mark.parametrize("sizes", [(), (5,), (4, 5), (2, 3, 4)])
@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_fixed_statistics_leave_slices_alone(
    one: Any, numbers: Any, parameters: Any, check_sizes: Any, check_reads: Any, check_source: Any,
    opset: int, sizes: tuple[int, ...], epsilon: float,
) -> None:  # fmt: skip
    x = numbers(2, 3, *sizes)
    model = one("BatchNormalization", [x], parameters(3), opset=opset, epsilon=epsilon)
    check_sizes(model, fixed=(1,))
    check_reads(model)
    source = check_source(model)
    suffix = "" if epsilon == 1e-5 else ", eps=0.001"
    assert source.module == f"nn.BatchNorm{max(len(sizes), 1)}d(3{suffix})"
    assert NORM.flops(model.node).others == 2 * x.size


@pytest.mark.parametrize("sizes", [(5,), (3, 4)])
def test_in_training_mode_a_channel_is_normed_as_a_whole(
    one: Any, numbers: Any, parameters: Any, check_sizes: Any, check_reads: Any,
    sizes: tuple[int, ...],
) -> None:  # fmt: skip
    model = one(
        "BatchNormalization", [numbers(2, 3, *sizes)], parameters(3),
        training_mode=1, outputs=3,
    )  # fmt: skip
    assert check_sizes(model, fixed=(1,)) == [(2, 3, *sizes), (3,), (3,)]
    # The running statistics have other axes: what is said of axes is said of the first output.
    check_reads(model, outputs=1)
    assert NORM.source(model.node) is None


def test_parameters_that_are_computed_are_followed_by_channel(
    one: Any, numbers: Any, parameters: Any, check_reads: Any
) -> None:
    check_reads(one("BatchNormalization", [numbers(2, 3, 4), *parameters(3)]))


def test_channels_that_disagree_are_named(one: Any, numbers: Any, parameters: Any) -> None:
    failure = one("BatchNormalization", [numbers(1, 4, 5)], parameters(3)).failure
    assert failure == ("BatchNormalization 'node': channels of the input and of the scale: 4 and 3")


def test_a_missing_scale_is_named(one: Any, numbers: Any) -> None:
    assert "input 1 is missing" in one("BatchNormalization", [numbers(1, 4, 5)]).failure
