"""Bounds below sizes, and what is decided by them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from volunet.graph.bounds import lower_bound, maximum, minimum, truncate_div
from volunet.graph.evaluation import evaluate
from volunet.graph.sizes import Size, ceil_div, floor_div, symbol

D, H = symbol("d"), symbol("h")


@pytest.mark.parametrize(
    ("size", "bound"),
    [
        (D, 1),
        (D - 3, -2),
        (3 - D, -math.inf),
        (floor_div(D, 2), 0),
        (floor_div(D, 2) * 2 - D, -1),
        (D - floor_div(D, 2) * 2, 0),
        (maximum(D, 4), 4),
        (maximum(D, 4) - D, 0),
        (D - minimum(D, 4), 0),
        (minimum(D, 4), 1),
        (maximum(D, 4) - minimum(D, 3), 1),
        (D - maximum(D, 4), -3),
        (ceil_div(D, 2) - floor_div(D, 2), 0),
        (D * H - D, -math.inf),
    ],
    ids=str,
)
def test_a_bound_is_as_close_as_the_rules_get(size: Size, bound: float) -> None:
    assert lower_bound(size) == bound


@pytest.mark.parametrize(
    ("size", "same"),
    [
        (maximum(D, 1), D),
        (maximum(0, D - 1), D - 1),
        (minimum(maximum(4, D), D), D),
        (maximum(minimum(4, D), D), D),
        (minimum(D, D + 1), D),
        (maximum(maximum(D, H), D), maximum(D, H)),
        (minimum(floor_div(D, 2), D), floor_div(D, 2)),
    ],
    ids=str,
)
def test_a_maximum_that_is_decided_is_no_maximum(size: Size, same: Size) -> None:
    assert size == same


@pytest.mark.parametrize(("a", "b"), [(7, 2), (-7, 2), (7, -2), (-7, -2), (6, 3), (-6, 3), (0, 5)])
def test_numbers_are_divided_towards_zero(a: int, b: int) -> None:
    assert truncate_div(a, b) == math.trunc(Fraction(a, b))


def test_a_formula_is_divided_towards_zero_below_it_too() -> None:
    size = truncate_div(D - 5, 2)
    assert size is not None
    assert [evaluate(size, {"d": d}) for d in range(1, 9)] == [-2, -1, -1, 0, 0, 0, 1, 1]
    assert evaluate(size, {"d": np.arange(1, 9)}).tolist() == [-2, -1, -1, 0, 0, 0, 1, 1]


def test_quotients_towards_zero_that_have_no_formula_are_none() -> None:
    assert truncate_div(D, 0) is None
    assert truncate_div(D, H) is None
    assert truncate_div(7, 0) is None
