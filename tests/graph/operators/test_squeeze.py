"""Dropping axes of size 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from volunet.graph.operators import OPERATORS


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("axes", [None, [0], [2], [0, 2], [-2, 0]])
def test_axes_are_dropped(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, opset: int,
    axes: list[int] | None,
) -> None:  # fmt: skip
    x = numbers(1, 3, 1, 4)
    if axes is None:
        model = one("Squeeze", [x], opset=opset)
    elif opset == 11:
        model = one("Squeeze", [x], opset=opset, axes=axes)
    else:
        model = one("Squeeze", [x], [np.array(axes)], opset=opset)
    check_sizes(model)
    check_reads(model)
    check_source(model)


@pytest.mark.parametrize(
    ("axes", "found"),
    [
        ([1], "axis 1, which is squeezed, and 1: 3 and 1"),
        ([4], "axis 4 of a tensor of 4 axes"),
    ],
)
def test_what_does_not_fit_is_named(one: Any, numbers: Any, axes: list[int], found: str) -> None:
    assert found in one("Squeeze", [numbers(1, 3, 1, 4)], [np.array(axes)]).failure


def test_axes_that_are_data_are_refused(one: Any, numbers: Any) -> None:
    model = one("Squeeze", [numbers(1, 3), np.array([0])])
    assert "axes that depend on the data" in model.failure


def test_a_size_stays_known(parsed: Any, numbers: Any) -> None:
    model = parsed(
        """
        g (float[a,b] x) => (int64 y, int64[1] z) {
            size = Shape <start = 1> (x)
            zero = Constant <value_ints = [0]> ()
            y = Squeeze (size, zero)
            z = Unsqueeze (y, zero)
        }
        """,
        x=numbers(2, 3),
    )
    network, _ = model.open()
    assert [str(tensor.values[0]) for tensor in network.outputs] == ["c", "c"]
    assert [tensor.values for tensor in model.network.outputs] == [(3,), (3,)]
    assert OPERATORS["Squeeze"].flops(model.network.nodes[2]).others == 0
