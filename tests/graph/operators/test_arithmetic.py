"""Operators of two inputs: broadcasting, PyTorch's spelling, and computing with sizes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.graph.evaluation import evaluate
from volunet.graph.operators import OPERATORS
from volunet.graph.operators.arithmetic import ARITHMETIC
from volunet.graph.tensors import Value

OF_NUMBERS = ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean")
OF_TRUTH = ("And", "Or")
TO_TRUTH = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")


def test_every_operator_is_in_a_list_here() -> None:
    assert {*OF_NUMBERS, *OF_TRUTH, *TO_TRUTH, "Mod", "Where"} == set(ARITHMETIC)


@st.composite
def shapes(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes of which one axis after the other is equal, or 1, or missing."""
    whole = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))

    def part() -> tuple[int, ...]:
        sizes = [1 if draw(st.integers(0, 3)) == 0 else size for size in whole]
        return tuple(sizes[draw(st.integers(0, len(sizes) - 1)) :])

    return part(), part()


@settings(max_examples=120, deadline=None, derandomize=True)
@given(shapes(), st.sampled_from(OF_NUMBERS))
def test_shapes_broadcast_as_in_onnx_runtime(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any,
    pair: tuple[tuple[int, ...], tuple[int, ...]], op_type: str,
) -> None:  # fmt: skip
    model = one(op_type, [numbers(*pair[0]), numbers(*pair[1], seed=1)])
    check_sizes(model)
    check_reads(model)
    check_source(model)


@pytest.mark.parametrize("op_type", [*OF_TRUTH, *TO_TRUTH])
def test_truth_is_what_pytorch_says(
    one: Any, check_sizes: Any, check_reads: Any, check_source: Any, op_type: str
) -> None:
    random = np.random.default_rng(0)
    first, second = random.integers(0, 2, (2, 3)), random.integers(0, 2, (1, 3))
    if op_type in OF_TRUTH:
        first, second = first.astype(bool), second.astype(bool)
    model = one(op_type, [first, second])
    check_sizes(model)
    check_reads(model, exact=False)  # a comparison that stays true hides a change
    check_source(model)


@pytest.mark.parametrize("op_type", ["Div", "Mod", "Add", "Mul", "Max"])
def test_whole_numbers_are_computed_as_whole_numbers(
    one: Any, check_sizes: Any, check_source: Any, op_type: str
) -> None:
    first = np.array([7, -7, 7, -7, 6, 0], np.int64)
    second = np.array([2, 2, -2, -2, 3, 5], np.int64)
    check_sizes(one(op_type, [first, second]))
    check_source(one(op_type, [first, second]))


def test_the_remainder_may_have_the_dividends_sign(
    one: Any, signed: Any, check_source: Any
) -> None:
    model = one("Mod", [signed(3, 4), signed(3, 4, seed=1)], fmod=1)
    assert check_source(model).call == "torch.fmod({0}, {1})"


@pytest.mark.parametrize("op_type", ["Sum", "Mean", "Max", "Min"])
@pytest.mark.parametrize("count", [1, 3])
def test_more_or_fewer_than_two_inputs(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, op_type: str,
    count: int,
) -> None:  # fmt: skip
    model = one(op_type, [numbers(*[(2, 3), (3,), (2, 1)][i], seed=i) for i in range(count)])
    check_sizes(model)
    # One of three may stay the largest, however small the others become.
    check_reads(model, exact=op_type in ("Sum", "Mean"))
    check_source(model)
    assert ARITHMETIC[op_type].flops(model.node).others == 6 * max(count - 1, 1)


def test_where_chooses(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any
) -> None:
    condition = np.random.default_rng(0).uniform(size=(2, 1, 4)) > 0.5
    model = one("Where", [condition, numbers(3, 4), numbers(1, seed=1)])
    assert check_sizes(model) == [(2, 3, 4)]
    check_reads(model, exact=False)
    check_source(model)


def test_a_sum_of_data_is_a_skip(one: Any, numbers: Any) -> None:
    assert ARITHMETIC["Add"].role_in(one("Add", [numbers(2, 3)] * 2).node) == "skip"
    assert ARITHMETIC["Add"].role_in(one("Add", [numbers(2, 3)], [numbers(3)]).node) == "other"
    assert ARITHMETIC["Mul"].role_in(one("Mul", [numbers(2, 3)] * 2).node) == "other"


SIZE_GRAPHS = {
    "add": ("int64", "y = Add (d, three)"),
    "subtract": ("int64", "y = Sub (d, three)"),
    "subtract from": ("int64", "y = Sub (three, d)"),
    "multiply": ("int64", "y = Mul (d, three)"),
    "multiply by a size": ("int64", "y = Mul (d, h)"),
    "number by a size": ("int64", "y = Mul (three, h)"),
    "divide": ("int64", "y = Div (d, three)"),
    "divide towards zero": ("int64", "m = Sub (d, nine) y = Div (m, three)"),
    "divide exactly": ("int64", "m = Mul (d, h) y = Div (m, h)"),
    "remainder": ("int64", "y = Mod (d, three)"),
    "remainder below zero": ("int64", "m = Sub (three, d) y = Mod (m, nine)"),
    "power": ("int64", "y = Pow (d, three)"),
    "larger": ("int64", "y = Max (d, nine)"),
    "smaller": ("int64", "y = Min (d, nine)"),
    "larger of sizes": ("int64", "y = Max (d, h, three)"),
    "sum": ("int64", "y = Sum_ (d, h, three)".replace("Sum_", "Add").replace(", three", "")),
    "float and back": ("int64", "f = Cast <to = 1> (d) g = Mul (f, half) y = Cast <to = 7> (g)"),
    "float ceiling": ("float", "f = Cast <to = 1> (d) g = Mul (f, half) y = Ceil (g)"),
    "float floor": ("float", "f = Cast <to = 1> (d) g = Div (f, two) y = Floor (g)"),
    "float sum": ("float", "f = Cast <to = 1> (d) y = Add (f, f)"),
    "whole float larger": ("float", "f = Cast <to = 1> (d) y = Max (f, two)"),
    "chosen": ("int64", "t = Equal (three, nine) y = Where (t, d, h)"),
    "chosen by a size": ("int64", "t = Greater (d, zero) y = Where (t, d, h)"),
    "above zero": ("bool", "y = GreaterOrEqual (d, one)"),
    "less": ("bool", "m = Add (d, three) y = Less (d, m)"),
    "less or equal": ("bool", "y = LessOrEqual (d, d)"),
    "both": ("bool", "t = Less (zero, d) y = And (t, t)"),
    "either": ("bool", "t = Less (d, zero) u = Greater (d, zero) y = Or (t, u)"),
    "truth": ("bool", "y = Cast <to = 9> (d)"),
    "identity": ("int64", "y = Identity (d)"),
    "negative": ("int64", "y = Neg (d)"),
    "product": ("int64", "s = Shape (x) p = ReduceProd <keepdims = 0> (s) y = Add (p, zero)"),
    "gathered": ("int64", "s = Shape (x) i = Constant <value_ints = [-1]> () y = Gather (s, i)"),
    "number of elements": ("int64", "s = Size (x) y = Add (s, zero)"),
    "repeated": ("int64", "w = Constant <value_ints = [4]> () y = Expand (d, w)"),
}
"""What y is, computed from the sizes d and h."""


@pytest.mark.parametrize("name", SIZE_GRAPHS)
@pytest.mark.parametrize("shape", [(5, 7), (9, 3), (13, 16)])
def test_sizes_are_computed_with_as_onnx_runtime_does(
    parsed: Any, numbers: Any, name: str, shape: tuple[int, int]
) -> None:
    dtype, lines = SIZE_GRAPHS[name]
    model = parsed(
        f"""
        g (float[d,h] x) => ({dtype}[n] y) {{
            d = Shape <start = 0, end = 1> (x)
            h = Shape <start = 1, end = 2> (x)
            zero = Constant <value_ints = [0]> ()
            one = Constant <value_ints = [1]> ()
            three = Constant <value_ints = [3]> ()
            nine = Constant <value_ints = [9]> ()
            half = Constant <value_floats = [0.5]> ()
            two = Constant <value_floats = [2.0]> ()
            {lines}
        }}
        """,
        x=numbers(*shape),
    )
    expected = model.run()[0].ravel().tolist()
    for network, sizes in (model.open(), (model.network, {})):
        assert not network.failures
        values = network.outputs[0].values
        assert values is not None
        assert [_number(value, sizes) for value in values] == expected
        assert not network.outputs[0].is_data


def _number(value: Value, sizes: dict[str, int]) -> Any:
    return value if isinstance(value, int | Fraction) else evaluate(value, sizes)


@pytest.mark.parametrize(
    "lines",
    [
        "y = Div (d, h)",
        "y = Mod (d, h)",
        "t = Less (d, h) y = Where (t, d, h)",
        "y = Pow (three, d)",
        "y = Div (d, zero)",
        "y = Abs (d)",
    ],
)
def test_what_has_no_formula_is_left_open(parsed: Any, numbers: Any, lines: str) -> None:
    model = parsed(
        f"""
        g (float[d,h] x) => (int64[n] y) {{
            d = Shape <start = 0, end = 1> (x)
            h = Shape <start = 1, end = 2> (x)
            zero = Constant <value_ints = [0]> ()
            three = Constant <value_ints = [3]> ()
            {lines}
        }}
        """,
        x=numbers(3, 4),
    )
    network, _ = model.open()
    assert network.outputs[0].values is None
    assert network.outputs[0].shape == (1,)


def test_a_larger_fraction_has_no_formula(parsed: Any, numbers: Any) -> None:
    model = parsed(
        """
        g (float[d] x) => (float[n] y) {
            d = Shape (x)
            half = Constant <value_floats = [0.5]> ()
            f = Cast <to = 1> (d)
            g = Mul (f, half)
            y = Max (g, half)
        }
        """,
        x=numbers(5),
    )
    network, _ = model.open()
    assert network.outputs[0].values is None
    assert model.network.outputs[0].values == (Fraction(5, 2),)


@pytest.mark.parametrize("op_type", ["Add", "Where"])
def test_shapes_that_do_not_broadcast_are_named(one: Any, numbers: Any, op_type: str) -> None:
    first = [numbers(2, 1, 1) > 1] if op_type == "Where" else []
    failure = one(op_type, [*first, numbers(2, 3, 4), numbers(2, 3, 5)]).failure
    name = "in2" if first else "in1"
    assert failure == f"{op_type} 'node': axis 2 of 'in0' and of '{name}': 4 and 5"


def test_what_is_multiplied_is_counted(one: Any, numbers: Any) -> None:
    assert OPERATORS["Mul"].flops(one("Mul", [numbers(2, 3), numbers(3)]).node).others == 6
