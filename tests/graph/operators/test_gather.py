"""Picking slices by their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from volunet.graph.operators import OPERATORS

GATHER = OPERATORS["Gather"]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("indices", [1, [1], [-1], [0, 1, 1], [[0, 1], [1, -2]]])
@pytest.mark.parametrize("constant", [True, False])
def test_slices_are_picked_as_in_onnx_runtime(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, axis: int,
    indices: Any, constant: bool,
) -> None:  # fmt: skip
    x, places = numbers(2, 3, 4), np.array(indices, np.int64)
    if constant:
        model = one("Gather", [x], [places], axis=axis)
        # Of several indices the rule says all slices.
        check_reads(model, loose=[] if places.shape == (1,) else [(0, axis % 3)])
    else:
        model = one("Gather", [x, places], axis=axis)
    check_sizes(model)
    # Of computed indices PyTorch's index_select takes none from the end.
    if constant or places.ndim != 1 or places.min() >= 0:
        check_source(model)


def test_one_constant_index_is_one_slice(one: Any, numbers: Any) -> None:
    node = one("Gather", [numbers(2, 9)], [np.array([-2])], axis=1).node
    assert GATHER.reads(node, 0, 1).span.need(0, 1) == (7, 8)


@pytest.mark.parametrize(
    ("indices", "axis", "found"),
    [
        ([3], 1, "axis 1 for the indices [3]: 3, at least 4 is needed"),
        ([0, -4], 1, "axis 1 for the indices [0, -4]: 3, at least 4 is needed"),
        ([0], 2, "axis 2 of a tensor of 2 axes"),
    ],
)
def test_what_does_not_fit_is_named(
    one: Any, numbers: Any, indices: list[int], axis: int, found: str
) -> None:
    assert found in one("Gather", [numbers(2, 3)], [np.array(indices)], axis=axis).failure


def test_an_index_beyond_a_list_of_sizes_is_named(parsed: Any, numbers: Any) -> None:
    model = parsed(
        """
        g (float[a,b] x) => (int64[1] y) {
            shape = Shape (x)
            place = Constant <value_ints = [2]> ()
            y = Gather (shape, place)
        }
        """,
        x=numbers(2, 3),
    )
    (failure,) = model.network.failures
    assert "indices (2,) of 2 elements" in str(failure)
