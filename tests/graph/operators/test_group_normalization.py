"""Group norm, whose scale is by group in opset 18 and by channel from 21 on."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.graph.operators import OPERATORS

NORM = OPERATORS["GroupNormalization"]


@pytest.mark.parametrize("opset", [18, 21])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("sizes", [(5,), (4, 5), (2, 3, 4)])
def test_a_groups_volume_is_normed_as_a_whole(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, opset: int,
    groups: int, sizes: tuple[int, ...],
) -> None:  # fmt: skip
    count = 4 if opset == 21 else groups
    x = numbers(2, 4, *sizes)
    constants = [numbers(count, seed=1), numbers(count, seed=2)]
    model = one("GroupNormalization", [x], constants, opset=opset, num_groups=groups)
    check_sizes(model, fixed=(1,))
    # On the channels' axis a group reads its own channels; the rule says all.
    check_reads(model, loose=[(0, 1)] if groups > 1 else [])
    if count == 4:
        assert check_source(model).module == f"nn.GroupNorm({groups}, 4)"
    else:
        assert check_source(model).module is None
    assert NORM.flops(model.node).others == 6 * x.size


def test_a_group_of_a_single_element_becomes_the_bias(
    one: Any, numbers: Any, check_source: Any
) -> None:
    constants = [numbers(4, seed=1), numbers(4, seed=2)]
    x = [numbers(1, 4, 1, 1, 1)]
    model = one("GroupNormalization", x, constants, opset=21, num_groups=4, epsilon=1.0)
    assert check_source(model).module is None


@pytest.mark.parametrize(("opset", "count"), [(18, 2), (21, 4)])
def test_parameters_that_are_computed_are_followed_too(
    one: Any, numbers: Any, check_reads: Any, opset: int, count: int
) -> None:
    inputs = [numbers(2, 4, 3), numbers(count, seed=1), numbers(count, seed=2)]
    model = one("GroupNormalization", inputs, opset=opset, num_groups=2)
    check_reads(model, loose=[(0, 1)])


@pytest.mark.parametrize(
    ("count", "attributes", "found"),
    [
        (4, {"opset": 21}, "num_groups is 0"),
        (4, {"opset": 21, "num_groups": 3}, "channels and 3 equal groups of them: 4 and 3"),
        (2, {"opset": 21, "num_groups": 2}, "scale and of what it scales: 2 and 4"),
        (4, {"opset": 18, "num_groups": 2}, "scale and of what it scales: 4 and 2"),
    ],
)
def test_what_does_not_fit_is_named(
    one: Any, numbers: Any, count: int, attributes: Any, found: str
) -> None:
    model = one(
        "GroupNormalization", [numbers(1, 4, 5)], [numbers(count), numbers(count)], **attributes
    )
    assert found in model.failure
