"""Softmax, its logarithm and its maximum: over one axis, before opset 13 over all behind it."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.graph.operators import OPERATORS


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -2])
def test_an_axis_is_read_as_a_whole(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, op_type: str,
    opset: int, axis: int | None,
) -> None:  # fmt: skip
    attributes = {} if axis is None else {"axis": axis}
    model = one(op_type, [numbers(2, 3, 4)], opset=opset, **attributes)
    check_sizes(model)
    # The place of the largest element stays, whatever happens far below it.
    check_reads(model, exact=op_type != "Hardmax")
    check_source(model)
    assert OPERATORS[op_type].flops(model.node).others == 5 * 24


def test_an_axis_that_is_not_there_is_named(one: Any, numbers: Any) -> None:
    model = one("Softmax", [numbers(2, 3)], axis=2)
    node = model.network.nodes[0]
    with pytest.raises(ValueError, match="axis 2 of a tensor of 2 axes"):
        OPERATORS["Softmax"].source(node)
    assert "axis 2 of a tensor of 2 axes" in model.failure
