"""Numbers in a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from volunet.graph.evaluation import evaluate


@pytest.mark.parametrize(
    ("start", "limit", "delta"),
    [(0, 5, 1), (2, 9, 3), (2, 8, 3), (9, 2, -2), (-3, 4, 2), (0, 200, 1)],
)
def test_numbers_are_those_of_onnx_runtime(
    one: Any, check_sizes: Any, check_source: Any, start: int, limit: int, delta: int
) -> None:
    model = one("Range", [], [np.int64(start), np.int64(limit), np.int64(delta)])
    check_sizes(model)
    assert check_source(model).call == f"torch.arange({start}, {limit}, {delta})"
    expected = model.run()[0].tolist()
    values = model.node.outputs[0].values
    # Only short lists are kept.
    assert values is None if len(expected) > 64 else list(values) == expected


def test_a_range_up_to_a_size_is_a_formula(parsed: Any, numbers: Any) -> None:
    model = parsed(
        """
        g (float[d] x) => (int64[n] y) {
            list = Shape (x)
            size = Squeeze (list)
            zero = Constant <value_int = 0> ()
            two = Constant <value_int = 2> ()
            y = Range (zero, size, two)
        }
        """,
        x=numbers(7),
    )
    network, sizes = model.open()
    (y,) = network.outputs
    assert str(y.shape[0]) == "⌊(n + 1)/2⌋"
    assert evaluate(y.shape[0], sizes) == model.run()[0].size == 4


def test_what_does_not_fit_is_named(one: Any) -> None:
    zero = one("Range", [], [np.int64(0), np.int64(5), np.int64(0)])
    assert "delta 0" in zero.failure
    data = one("Range", [np.array(5)], [np.int64(5), np.int64(1)])
    assert "bounds that depend on data" in data.failure
