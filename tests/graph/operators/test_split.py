"""Splitting: into parts that are named, or equal ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from volunet.graph.evaluation import evaluate
from volunet.graph.operators import OPERATORS

SPLIT = OPERATORS["Split"]


@pytest.mark.parametrize("opset", [2, 11, 13, 18])
@pytest.mark.parametrize("parts", [None, [4, 2], [1, 2, 3], [6]])
@pytest.mark.parametrize("axis", [0, 2, -1])
def test_parts_are_those_of_onnx_runtime(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, opset: int,
    parts: list[int] | None, axis: int,
) -> None:  # fmt: skip
    shape = [2, 3, 2]
    shape[axis] = 6
    constants, attributes = [], {}
    if parts is None and opset >= 18:
        attributes["num_outputs"] = 2
    elif parts is not None and opset >= 13:
        constants = [np.array(parts)]
    elif parts is not None:
        attributes["split"] = parts
    outputs = 2 if parts is None else len(parts)
    model = one(
        "Split", [numbers(*shape)], constants, opset=opset, axis=axis, outputs=outputs, **attributes
    )
    check_sizes(model)
    # One answer for all parts: it reaches from the first one's slice to the last one's.
    check_reads(model, loose=[(0, axis % 3)] if outputs > 1 else [])
    check_source(model)


@pytest.mark.parametrize(("size", "count"), [(7, 2), (7, 3), (5, 4), (9, 4), (8, 3)])
def test_the_last_of_equal_parts_may_be_smaller(
    one: Any, numbers: Any, check_sizes: Any, check_source: Any, size: int, count: int
) -> None:
    model = one("Split", [numbers(1, size)], axis=1, outputs=count, num_outputs=count)
    each = -(-size // count)
    if size - each * (count - 1) < 1:
        assert f"axis 1 of its output: {size - each * (count - 1)}" in model.failure
        return
    check_sizes(model)
    check_source(model)


def test_a_list_of_sizes_is_split(parsed: Any, numbers: Any) -> None:
    model = parsed(
        """
        g (float[n,c,d] x) => (int64[1] y, int64[2] z) {
            shape = Shape (x)
            parts = Constant <value_ints = [1, 2]> ()
            y, z = Split (shape, parts)
        }
        """,
        x=numbers(2, 3, 5),
    )  # fmt: skip
    network, sizes = model.open()
    for tensor, array in zip(network.outputs, model.run(), strict=True):
        assert [evaluate(value, sizes) for value in tensor.values] == array.tolist()


@pytest.mark.parametrize(
    ("parts", "attributes", "found"),
    [
        ([4, 3], {}, "the parts' sizes and that of axis 1: 7 and 6"),
        ([4, 1, 1], {}, "3 parts for 2 outputs"),
        ([4, 2], {"axis": 2}, "axis 2 of a tensor of 2 axes"),
    ],
)
def test_what_does_not_fit_is_named(
    one: Any, numbers: Any, parts: Any, attributes: Any, found: str
) -> None:
    model = one(
        "Split", [numbers(1, 6)], [np.array(parts)], outputs=2, **({"axis": 1} | attributes)
    )
    assert found in model.failure


def test_equal_parts_before_opset_18_leave_nothing_over(one: Any, numbers: Any) -> None:
    model = one("Split", [numbers(1, 7)], axis=1, outputs=2, opset=13)
    assert "axis 1 and 2 equal parts: 7 and 6" in model.failure


def test_parts_that_are_data_are_refused(one: Any, numbers: Any) -> None:
    model = one("Split", [numbers(1, 6), np.array([2, 4])], axis=1, outputs=2)
    assert "parts whose sizes depend on the data" in model.failure
