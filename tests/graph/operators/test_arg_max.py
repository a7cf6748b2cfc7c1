"""Places of the largest and smallest element."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.graph.operators import OPERATORS


@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("keep", [0, 1])
def test_an_axis_is_read_as_a_whole(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, op_type: str,
    axis: int | None, keep: int,
) -> None:  # fmt: skip
    attributes = {"keepdims": keep} | ({} if axis is None else {"axis": axis})
    model = one(op_type, [numbers(2, 3, 4)], **attributes)
    check_sizes(model)
    # Some element is the largest before and after.
    check_reads(model, exact=False)
    check_source(model)
    assert OPERATORS[op_type].flops(model.node).others == 24


def test_an_axis_that_is_not_there_is_named(one: Any, numbers: Any) -> None:
    assert "axis 2 of a tensor of 2 axes" in one("ArgMax", [numbers(2, 3)], axis=2).failure
