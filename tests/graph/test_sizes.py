"""Formulas of sizes give the numbers that plain whole numbers give, in one normal form."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.graph.bounds import lower_bound, maximum, minimum, truncate_div
from volunet.graph.evaluation import evaluate
from volunet.graph.sizes import (
    Expression,
    Size,
    ceil_div,
    divide_exactly,
    floor,
    floor_div,
    product,
    shape_text,
    symbol,
    symbols_of,
)

D, H = symbol("d"), symbol("h")

Plain = Callable[[int, int], int]
"""The same computation with whole numbers."""


def _divided(formula: Size, plain: Plain, k: int) -> tuple[Size, Plain]:
    return floor_div(formula, k), lambda d, h: plain(d, h) // k


def _divided_up(formula: Size, plain: Plain, k: int) -> tuple[Size, Plain]:
    return ceil_div(formula, k), lambda d, h: -(-plain(d, h) // k)


def _scaled(formula: Size, plain: Plain, k: int) -> tuple[Size, Plain]:
    return formula * k, lambda d, h: plain(d, h) * k


def _moved(formula: Size, plain: Plain, k: int) -> tuple[Size, Plain]:
    return formula + (k - 4), lambda d, h: plain(d, h) + k - 4


def _taken_from(formula: Size, plain: Plain, k: int) -> tuple[Size, Plain]:
    return k - formula, lambda d, h: k - plain(d, h)


_BY_NUMBER = st.sampled_from([_divided, _divided_up, _scaled, _moved, _taken_from])
_OF_TWO = st.sampled_from(["add", "subtract", "multiply", "max", "min"])


def _pair(a: tuple[Size, Plain], b: tuple[Size, Plain], kind: str) -> tuple[Size, Plain]:
    (x, f), (y, g) = a, b
    match kind:
        case "add":
            return x + y, lambda d, h: f(d, h) + g(d, h)
        case "subtract":
            return x - y, lambda d, h: f(d, h) - g(d, h)
        case "multiply":
            return y * x if isinstance(y, Expression) else x * y, lambda d, h: f(d, h) * g(d, h)
        case "max":
            return maximum(x, y), lambda d, h: max(f(d, h), g(d, h))
        case _:
            return minimum(x, y), lambda d, h: min(f(d, h), g(d, h))


FORMULAS: st.SearchStrategy[tuple[Size, Plain]] = st.recursive(
    st.one_of(
        st.just((D, lambda d, h: d)),
        st.just((H, lambda d, h: h)),
        st.integers(-9, 9).map(lambda number: (number, lambda d, h: number)),
    ),
    lambda inner: st.one_of(
        st.builds(lambda a, k, how: how(*a, k), inner, st.integers(1, 8), _BY_NUMBER),
        st.builds(_pair, inner, inner, _OF_TWO),
    ),
    max_leaves=8,
)

SIZES = st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70)), min_size=1, max_size=8)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(FORMULAS, SIZES)
def test_a_formula_is_what_whole_numbers_give(formula: tuple[Size, Plain], sizes: Any) -> None:
    size, plain = formula
    expected = [plain(d, h) for d, h in sizes]
    assert [evaluate(size, {"d": d, "h": h}) for d, h in sizes] == expected
    if symbols_of(size):
        d, h = np.array(sizes, np.int64).T
        values = evaluate(size, {"d": d, "h": h})
        assert np.broadcast_to(values, len(sizes)).tolist() == expected
    assert all(lower_bound(size) <= number for number in expected)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(FORMULAS, st.integers(1, 9), SIZES)
def test_quotients_are_what_whole_numbers_give(
    formula: tuple[Size, Plain], k: int, sizes: Any
) -> None:
    size, plain = formula
    quotient = truncate_div(size, k)
    assert quotient is not None
    exact = divide_exactly(size * k, k)
    assert exact == size
    part = divide_exactly(size, k)
    for d, h in sizes:
        number = plain(d, h)
        assert evaluate(quotient, {"d": d, "h": h}) == math.trunc(Fraction(number, k))
        assert part is None or evaluate(part, {"d": d, "h": h}) * k == number


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (floor_div(floor_div(D, 2), 2), "⌊d/4⌋"),
        (floor_div(floor_div(floor_div(D, 2), 3) + 1, 2), "⌊(d + 6)/12⌋"),
        (floor_div(floor_div(D + 15, 16) * 16, 2), "⌊(d + 15)/16⌋·8"),
        (floor_div(D + 4, 2), "⌊d/2⌋ + 2"),
        (floor_div(D * 4, 2), "d·2"),
        (ceil_div(D, 2), "⌊(d + 1)/2⌋"),
        (D - D, "0"),
        (D + D - 3, "d·2 − 3"),
        (2 - D, "−d + 2"),
        (D * H, "d·h"),
        ((D + 1) * (D - 1), "d·d − 1"),
        (maximum(D, H), "max(d, h)"),
        (minimum(D, 4), "min(4, d)"),
        (floor_div(D * 2 - 1, 3), "⌊(d·2 + 2)/3⌋ − 1"),
        (truncate_div(D - 5, 2), "trunc((d − 5)/2)"),
    ],
)  # fmt: skip
def test_a_text_is_of_the_normal_form(size: Size, text: str) -> None:
    assert str(size) == text


def test_equal_sizes_are_equal_however_they_came_about() -> None:
    assert floor_div(floor_div(D, 2), 2) == floor_div(D, 4)
    assert ceil_div(ceil_div(D, 2), 2) == ceil_div(D, 4)
    assert (D - 1) * 2 + 2 == D * 2
    assert maximum(D, H) == maximum(H, D)
    assert hash(floor_div(floor_div(D, 2), 2)) == hash(floor_div(D, 4))
    assert floor_div(D, 2) != floor_div(D, 3)
    assert symbol("d") == D
    assert D - D == 0


def test_exact_quotients_that_have_no_formula_are_none() -> None:
    assert divide_exactly(D, 2) is None
    assert divide_exactly(D + 1, D) is None
    assert divide_exactly(D, 0) is None


def test_exact_quotients_of_formulas() -> None:
    assert divide_exactly(0, D) == 0
    assert divide_exactly(D * 6, D * 2) == 3
    assert divide_exactly(D * H * 4 + D * 2, D * 2) == H * 2 + 1
    assert divide_exactly((D + 2) * (H + 3), D + 2) == H + 3
    assert divide_exactly(12, 4) == 3
    assert divide_exactly(13, 4) is None


def test_floor_takes_fractions() -> None:
    assert floor(Fraction(7, 2)) == 3
    assert str(floor(D * Fraction(3, 2))) == "⌊d·3/2⌋"
    assert evaluate(floor(D * Fraction(3, 2)), {"d": 5}) == 7


def test_a_size_without_its_symbol_is_not_evaluated() -> None:
    with pytest.raises(KeyError, match="h"):
        evaluate(D * H, {"d": 3})


@pytest.mark.parametrize("levels", [30, 200])
def test_a_deep_formula_with_shared_parts_is_built_and_named(levels: int) -> None:
    """Each level names the one before twice: 2^levels paths, of which none may be walked alone."""
    size: Size = D
    number = 1001
    for _ in range(levels):
        size = maximum(floor_div(size * 3, 4), 1000 - floor_div(size, 2))
        number = max(number * 3 // 4, 1000 - number // 2)
    assert evaluate(size, {"d": 1001}) == number
    assert str(maximum(size, H)) == "f(d, h)"
    assert str(size) == "f(d)"


def test_shapes_are_written_with_brackets_where_a_factor_has_a_sum() -> None:
    assert shape_text((1, 32, floor_div(D, 2) * 2, 9)) == "1×32×⌊d/2⌋·2×9"
    assert shape_text((D + 1, None, floor_div(D + 1, 2))) == "(d + 1)×?×⌊(d + 1)/2⌋"
    assert shape_text(()) == ""


def test_a_product_of_sizes_is_their_number_of_elements() -> None:
    assert product((2, 3, 4)) == 24
    assert product(()) == 1
    assert evaluate(product((D, floor_div(H, 2), 3)), {"d": 5, "h": 7}) == 45
