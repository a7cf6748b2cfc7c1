"""Slices as ONNX Runtime cuts them: bounds from either end, beyond the ends, and backwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.graph.evaluation import evaluate
from volunet.graph.operators import OPERATORS

SLICE = OPERATORS["Slice"]

FAR = 2**31 - 1
FURTHEST = 2**63 - 1

BOUNDS = st.one_of(
    st.integers(-9, 9), st.sampled_from([FAR, -FAR, FURTHEST, -FURTHEST, -FURTHEST - 1])
)


@st.composite
def slices(draw: Any) -> dict[str, Any]:
    """Sizes and bounds of a slice that is not empty."""
    rank = draw(st.integers(1, 3))
    sizes = draw(st.lists(st.integers(1, 7), min_size=rank, max_size=rank))
    axes = draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True))
    starts, stops, steps = [], [], []
    for axis in axes:
        start, stop = draw(BOUNDS), draw(BOUNDS)
        step = draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        if not np.arange(sizes[axis])[start:stop:step].size:
            start, stop = (0, FAR) if step > 0 else (-1, -FAR)
        starts.append(start)
        stops.append(stop)
        steps.append(step)
    named = [axis - rank if draw(st.booleans()) else axis for axis in axes]
    return {"x": sizes, "bounds": [starts, stops, named, steps]}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(slices())
def test_slices_are_those_of_onnx_runtime(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any,
    drawn: dict[str, Any],
) -> None:  # fmt: skip
    bounds = [np.array(numbers_, np.int64) for numbers_ in drawn["bounds"]]
    model = one("Slice", [numbers(*drawn["x"])], bounds)
    check_sizes(model)
    check_reads(model)
    check_source(model)


@pytest.mark.parametrize("opset", [9, 10, 13])
def test_bounds_are_attributes_before_opset_10(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, opset: int
) -> None:
    x = numbers(1, 3, 9, 8)
    if opset == 9:
        model = one("Slice", [x], opset=9, starts=[1, -5], ends=[FAR, -1], axes=[2, 3])
        plain = one("Slice", [x], opset=9, starts=[0, 1], ends=[1, 3])
    else:
        lists = [np.array(a) for a in ([1, -5], [FAR, -1], [2, 3])]
        model = one("Slice", [x], lists, opset=opset)
        plain = one("Slice", [x], [np.array([0, 1]), np.array([1, 3])], opset=opset)
    assert check_sizes(model) == [(1, 3, 8, 4)]
    assert check_sizes(plain) == [(1, 2, 9, 8)]
    for each in (model, plain):
        check_reads(each)
        check_source(each)
    assert SLICE.source(model.node).call == "{0}[:, :, 1:, 3:7]"
    assert SLICE.source(plain.node).call == "{0}[:, 1:]"


def test_a_crop_to_a_skips_size_is_a_formula(parsed: Any, numbers: Any) -> None:
    model = parsed(
        """
        g (float[1,2,h] x, float[1,2,k] skip) => (float[1,2,m] y) {
            two = Constant <value_ints = [2]> ()
            three = Constant <value_ints = [3]> ()
            zero = Constant <value_ints = [0]> ()
            shape = Shape (skip)
            stop = Slice (shape, two, three)
            y = Slice (x, zero, stop, two)
        }
        """,
        x=numbers(1, 2, 9), skip=numbers(1, 2, 7),
    )  # fmt: skip
    network, sizes = model.open()
    (y,) = network.outputs
    assert model.run()[0].shape == (1, 2, 7)
    assert [evaluate(size, sizes) for size in y.shape] == [1, 2, 7]
    assert str(y.shape[2]) in ("min(l, l2)", "min(l2, l)")


def test_a_list_of_sizes_is_sliced(parsed: Any, numbers: Any) -> None:
    model = parsed(
        """
        g (float[n,c,d,h] x) => (int64[2] y, int64[2] z) {
            shape = Shape (x)
            two = Constant <value_ints = [2]> ()
            far = Constant <value_ints = [9223372036854775807]> ()
            minus = Constant <value_ints = [-1]> ()
            zero = Constant <value_ints = [0]> ()
            last = Constant <value_ints = [-9223372036854775807]> ()
            y = Slice (shape, two, far)
            z = Slice (shape, minus, last, zero, two_back)
        }
        """.replace("two_back", "back").replace(
            "zero = Const", "back = Constant <value_ints = [-2]> ()\n            zero = Const"
        ),
        x=numbers(2, 3, 5, 7),
    )  # fmt: skip
    network, sizes = model.open()
    for tensor, array in zip(network.outputs, model.run(), strict=True):
        assert [evaluate(value, sizes) for value in tensor.values] == array.tolist()


@pytest.mark.parametrize(
    ("bounds", "found"),
    [
        ([[0], [3], [3]], "axis 3 of a tensor of 3 axes"),
        ([[0], [3], [2], [0]], "axis 2, step 0"),
        ([[0, 1], [3], [2]], "2 starts, 1 ends, 1 axes and 1 steps"),
        ([[5], [3], [2]], "axis 2 of its output: 0, at least 1 is needed"),
        ([], "bounds that depend on the data"),
    ],
)
def test_what_does_not_fit_is_named(one: Any, numbers: Any, bounds: Any, found: str) -> None:
    if found.startswith("2 starts"):
        # As many steps as starts are assumed where none are given: two, here.
        found = "2 starts, 1 ends, 1 axes and 2 steps"
    model = one("Slice", [numbers(1, 2, 9)], [np.array(each) for each in bounds])
    assert found in model.failure
