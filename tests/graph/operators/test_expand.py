"""Repeating axes of size 1 to a shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from volunet.graph.operators import OPERATORS


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((1, 3), (2, 3)),
        ((3, 1), (3, 4)),
        ((3,), (2, 3)),
        ((3, 4), (1, 1)),
        ((3, 4), (1,)),
        ((1,), (2, 3, 4)),
        ((2, 1, 4), (3, 1)),
    ],
)
def test_axes_are_repeated(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, shape: Any,
    wanted: Any,
) -> None:  # fmt: skip
    model = one("Expand", [numbers(*shape)], [np.array(wanted)])
    check_sizes(model)
    check_reads(model)
    check_source(model)


def test_what_does_not_fit_is_named(one: Any, numbers: Any) -> None:
    model = one("Expand", [numbers(3, 4)], [np.array([3, 5])])
    assert "axis 1 of 'in0' and of 'in1': 4 and 5" in model.failure
    data = one("Expand", [numbers(3, 4), np.array([3, 4])])
    assert "a shape that depends on the data" in data.failure


def test_one_that_is_repeated_is_known(parsed: Any, numbers: Any) -> None:
    model = parsed(
        """
        g (float[a] x) => (int64[3] y) {
            size = Shape (x)
            three = Constant <value_ints = [3]> ()
            y = Expand (size, three)
        }
        """,
        x=numbers(5),
    )
    assert model.network.outputs[0].values == (5, 5, 5)
    assert not model.network.outputs[0].is_data
    assert OPERATORS["Expand"].flops(model.network.nodes[2]).others == 0
