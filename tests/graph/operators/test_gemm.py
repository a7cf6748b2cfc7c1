"""The matrix product of fully connected layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from volunet.graph.operators import OPERATORS

GEMM = OPERATORS["Gemm"]


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("bias", [None, (), (1,), (4,), (1, 4), (2, 1), (2, 4)])
@pytest.mark.parametrize("scaled", [False, True])
def test_rows_and_columns_follow_the_output(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, trans_a: int,
    trans_b: int, bias: tuple[int, ...] | None, scaled: bool,
) -> None:  # fmt: skip
    a = numbers(*((3, 2) if trans_a else (2, 3)))
    b = numbers(*((4, 3) if trans_b else (3, 4)), seed=1)
    rest = [] if bias is None else [numbers(*bias, seed=2)]
    attributes: dict[str, Any] = {"transA": trans_a, "transB": trans_b}
    if scaled:
        attributes |= {"alpha": 0.5, "beta": 2.0}
    check_reads(one("Gemm", [a, b, *rest], **attributes))
    model = one("Gemm", [a], [b, *rest], **attributes)
    # The inner size is the weights'; the rows are open where C does not fix them.
    inner = 0 if trans_a else 1
    fixed = (0, 1) if bias is not None and bias[:1] == (2,) else (inner,)
    assert check_sizes(model, fixed=fixed) == [(2, 4)]
    is_layer = not (trans_a or scaled or bias not in (None, (4,)))
    assert (check_source(model).module is not None) == is_layer
    flops = GEMM.flops(model.node)
    counter = FlopCounterMode(display=False)
    with counter:
        torch.mm(torch.zeros(2, 3), torch.zeros(3, 4))
    assert flops.products == counter.get_total_flops()
    assert flops.others == (0 if bias is None else 8)


def test_weights_that_are_data_are_no_layer(one: Any, numbers: Any, check_source: Any) -> None:
    computed = one("Gemm", [numbers(2, 3), numbers(3, 4)])
    assert check_source(computed).call == "{0} @ {1}"
    scaled = one("Gemm", [numbers(3, 2), numbers(4, 3), numbers(4)], transA=1, transB=1, alpha=0.5)
    assert check_source(scaled).call == "0.5 * ({0}.T @ {1}.T) + {2}"
    model = one("Gemm", [numbers(2, 3)], [numbers(3, 4), numbers(4)])
    assert GEMM.source(model.node).module == "nn.Linear(3, 4)"


@pytest.mark.parametrize(
    ("a", "rest", "found"),
    [
        ((2, 3), [(4, 5)], "columns of A and rows of B: 3 and 4"),
        ((2, 3, 1), [(3, 5)], "inputs of 3 and 2 axes, not 2"),
        ((2, 3), [(3, 5), (4,)], "axis 1 of 'in0' and of 'in2': 5 and 4"),
        ((2, 3), [(3, 5), (1, 2, 5)], "an input of 3 axes for 2"),
    ],
)
def test_what_does_not_fit_is_named(one: Any, numbers: Any, a: Any, rest: Any, found: str) -> None:
    failure = one("Gemm", [numbers(*a)], [numbers(*shape) for shape in rest]).failure
    assert failure.startswith("Gemm 'node': ")
    assert found in failure
