"""The rectifier with learned slopes: one, or one a channel."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.graph.operators import OPERATORS

PRELU = OPERATORS["PRelu"]


@pytest.mark.parametrize(
    ("slopes", "known"),
    [
        ((1,), True),
        ((), True),
        ((3, 1, 1), True),
        ((1, 3, 1, 1), True),
        ((1, 1, 1, 1), True),
        ((5,), False),
        ((4, 1), False),
        ((3, 4, 5), False),
    ],
)
def test_slopes_broadcast(
    one: Any, signed: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any,
    slopes: tuple[int, ...], known: bool,
) -> None:  # fmt: skip
    model = one("PRelu", [signed(2, 3, 4, 5)], [numbers(*slopes)])
    check_sizes(model, fixed=(1, 2, 3))
    check_reads(model)
    check_reads(one("PRelu", [signed(2, 3, 4, 5), numbers(*slopes)]))
    if known:
        count = 3 if 3 in slopes else 1
        assert check_source(model).module == f"nn.PReLU({count})"
    else:
        assert check_source(model).call == "torch.where({0} < 0, {0} * {1}, {0})"
    assert PRELU.flops(model.node).others == 2 * 120


@pytest.mark.parametrize(
    ("slopes", "found"),
    [
        ((4, 1, 1), "axis 1 of 'in0' and of 'in1': 3 and 4"),
        ((1, 1, 1, 1, 1), "an input of 5 axes for 4"),
    ],
)
def test_what_does_not_fit_is_named(
    one: Any, signed: Any, slopes: tuple[int, ...], found: str
) -> None:
    assert found in one("PRelu", [signed(2, 3, 4, 5)], [signed(*slopes)]).failure
