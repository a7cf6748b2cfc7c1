"""Instance norm: each channel of each volume by its own statistics."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.graph.operators import OPERATORS

NORM = OPERATORS["InstanceNormalization"]


@pytest.mark.parametrize("opset", [6, 18, 22])
@pytest.mark.parametrize("sizes", [(5,), (4, 5), (2, 3, 4)])
@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_a_channels_volume_is_normed_as_a_whole(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, opset: int,
    sizes: tuple[int, ...], epsilon: float,
) -> None:  # fmt: skip
    x = numbers(2, 3, *sizes)
    constants = [numbers(3, seed=1), numbers(3, seed=2)]
    model = one("InstanceNormalization", [x], constants, opset=opset, epsilon=epsilon)
    check_sizes(model, fixed=(1,))
    check_reads(model)
    suffix = "" if epsilon == 1e-5 else ", eps=0.001"
    module = f"nn.InstanceNorm{len(sizes)}d(3{suffix}, affine=True)"
    assert check_source(model).module == module
    assert NORM.flops(model.node).others == 6 * x.size


@pytest.mark.parametrize("sizes", [(1,), (1, 1, 1)])
def test_a_single_voxel_becomes_the_bias(
    one: Any, numbers: Any, check_source: Any, sizes: tuple[int, ...]
) -> None:
    constants = [numbers(3, seed=1), numbers(3, seed=2)]
    # Of no variance at all, 1e-5 would make the rounding of the mean 300 times as large.
    model = one("InstanceNormalization", [numbers(1, 3, *sizes)], constants, epsilon=1.0)
    assert check_source(model).module is None


def test_parameters_that_are_computed_are_followed_by_channel(
    one: Any, numbers: Any, check_reads: Any
) -> None:
    inputs = [numbers(2, 3, 4), numbers(3, seed=1), numbers(3, seed=2)]
    check_reads(one("InstanceNormalization", inputs))


def test_channels_that_disagree_are_named(one: Any, numbers: Any) -> None:
    failure = one("InstanceNormalization", [numbers(1, 4, 5)], [numbers(3), numbers(3)]).failure
    assert failure == (
        "InstanceNormalization 'node': channels of the input and of the scale: 4 and 3"
    )
