"""The same elements as a matrix."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("axis", [None, 0, 1, 2, 3, -1, -2, -3])
def test_axes_are_joined_before_and_behind(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, axis: int | None
) -> None:
    attributes = {} if axis is None else {"axis": axis}
    model = one("Flatten", [numbers(2, 3, 4)], **attributes)
    check_sizes(model)
    check_reads(model)
    calls = {
        0: "{0}.reshape(1, -1)",
        1: "torch.flatten({0}, 1)",
        2: "{0}.flatten(0, 1)",
        3: "{0}.reshape(-1, 1)",
    }
    assert check_source(model).call == calls[1 if axis is None else axis % 3 if axis < 0 else axis]


def test_a_vector_becomes_a_column(
    one: Any, numbers: Any, check_sizes: Any, check_source: Any
) -> None:
    model = one("Flatten", [numbers(5)])
    assert check_sizes(model) == [(5, 1)]
    assert check_source(model).call == "{0}.reshape(-1, 1)"


def test_an_axis_that_is_not_there_is_named(one: Any, numbers: Any) -> None:
    assert "axis 3 of a tensor of 2 axes" in one("Flatten", [numbers(2, 3)], axis=3).failure
