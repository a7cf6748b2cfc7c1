"""Matrix products, of vectors and of stacks of matrices too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from volunet.graph.operators import OPERATORS

MATMUL = OPERATORS["MatMul"]

PAIRS = [
    ((2, 3), (3, 4)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((3,), (3,)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (1, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)),
    ((6, 5, 2, 3), (6, 1, 3, 4)),
    ((3,), (6, 5, 3, 4)),
    ((6, 5, 2, 3), (3,)),
    ((1, 3), (3, 1)),
]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_stacks_broadcast_and_vectors_drop_an_axis(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, a: Any, b: Any
) -> None:
    x, y = numbers(*a), numbers(*b, seed=1)
    model = one("MatMul", [x, y])
    # The inner size stands on two axes that are not one symbol.
    check_sizes(model)
    check_reads(model)
    assert check_source(model).call == "{0} @ {1}"
    flops = MATMUL.flops(model.node)
    assert flops.products == 2 * a[-1] * model.run()[0].size


def test_a_constant_matrix_is_a_layer(
    one: Any, numbers: Any, check_sizes: Any, check_source: Any
) -> None:
    model = one("MatMul", [numbers(5, 2, 3)], [numbers(3, 4)])
    assert check_sizes(model, fixed=(2,)) == [(5, 2, 4)]
    counter = FlopCounterMode(display=False)
    with counter:
        source = check_source(model, at_numbers_alone=True)
    assert check_source(model, fixed=(1,)) == source
    assert source.module == "nn.Linear(3, 4, bias=False)"
    assert source.transposed == ("weight",)
    assert MATMUL.flops(model.node).products == counter.get_total_flops()
    assert MATMUL.role_in(model.node) == "fully connected"
    both = one("MatMul", [numbers(2, 3), numbers(3, 4)])
    assert MATMUL.role_in(both.node) == "other"


@pytest.mark.parametrize(("a", "b"), [pair for pair in PAIRS if min(map(len, pair)) > 1])
def test_flops_are_those_of_pytorch(one: Any, numbers: Any, a: Any, b: Any) -> None:
    counter = FlopCounterMode(display=False)
    with counter:
        torch.matmul(torch.zeros(a), torch.zeros(b))
    node = one("MatMul", [numbers(*a), numbers(*b)]).node
    assert MATMUL.flops(node).products == counter.get_total_flops()


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ((2, 3), (4, 5), "columns of A and rows of B: 3 and 4"),
        ((2, 3), (4,), "columns of A and rows of B: 3 and 4"),
        ((5, 2, 3), (6, 3, 4), "axis 0 of 'in0' and of 'in1': 5 and 6"),
        ((), (3, 4), "an input without axes"),
    ],
)
def test_what_does_not_fit_is_named(one: Any, numbers: Any, a: Any, b: Any, found: str) -> None:
    assert found in one("MatMul", [numbers(*a), numbers(*b)]).failure
