"""Pooling of whole volumes."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.graph.operators import OPERATORS


@pytest.mark.parametrize("op_type", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("sizes", [(5,), (4, 5), (2, 3, 4)])
def test_a_channels_volume_becomes_one_number(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, op_type: str,
    sizes: tuple[int, ...],
) -> None:  # fmt: skip
    x = numbers(2, 3, *sizes)
    model = one(op_type, [x])
    assert check_sizes(model) == [(2, 3, *(1 for _ in sizes))]
    check_reads(model)
    kind = "Avg" if op_type == "GlobalAveragePool" else "Max"
    assert check_source(model).module == f"nn.Adaptive{kind}Pool{len(sizes)}d(1)"
    assert OPERATORS[op_type].flops(model.node).others == x.size
    assert OPERATORS[op_type].role_in(model.node) == "pooling"
