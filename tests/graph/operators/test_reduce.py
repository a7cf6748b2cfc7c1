"""Reductions: axes as an attribute, later as an input, kept as 1 or dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from volunet.graph.operators import OPERATORS

REDUCTIONS = [name for name in OPERATORS if name.startswith("Reduce")]


@pytest.mark.parametrize("op_type", REDUCTIONS)
@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("axes", [None, [0], [1, -1], [2, 0, 1]])
@pytest.mark.parametrize("keep", [0, 1])
def test_axes_are_read_as_a_whole(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, op_type: str,
    opset: int, axes: list[int] | None, keep: int,
) -> None:  # fmt: skip
    constants, attributes = [], {"keepdims": keep}
    since = 13 if op_type == "ReduceSum" else 18
    if axes is not None and opset >= since:
        constants = [np.array(axes)]
    elif axes is not None:
        attributes["axes"] = axes
    model = one(op_type, [numbers(2, 3, 4)], constants, opset=opset, **attributes)
    check_sizes(model)
    check_reads(model)
    check_source(model)
    assert OPERATORS[op_type].flops(model.node).others == 24


@pytest.mark.parametrize("noop", [0, 1])
@pytest.mark.parametrize("constants", [[], [np.array([], np.int64)]])
def test_no_axes_are_all_or_none(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, noop: int,
    constants: Any,
) -> None:  # fmt: skip
    model = one("ReduceSum", [numbers(2, 3)], constants, noop_with_empty_axes=noop)
    assert check_sizes(model) == [(2, 3) if noop else (1, 1)]
    check_reads(model)
    check_source(model)


@pytest.mark.parametrize(
    ("sizes", "axes", "role"),
    [
        ((4, 5), [2, 3], "pooling"),
        ((4, 5), [3], "other"),
        ((4,), [2], "pooling"),
        ((), [1], "other"),
    ],
)
def test_a_mean_over_all_spatial_axes_is_a_pooling(
    one: Any, numbers: Any, sizes: Any, axes: list[int], role: str
) -> None:
    model = one("ReduceMean", [numbers(1, 2, *sizes)], [np.array(axes)])
    assert OPERATORS["ReduceMean"].role_in(model.node) == role


def test_what_does_not_fit_is_named(one: Any, numbers: Any) -> None:
    model = one("ReduceMean", [numbers(2, 3)], [np.array([2])])
    assert "axis 2 of a tensor of 2 axes" in model.failure
    data = one("ReduceMean", [numbers(2, 3), np.array([1])])
    assert "axes that depend on the data" in data.failure
