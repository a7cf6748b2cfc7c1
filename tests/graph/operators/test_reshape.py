"""Regrouping the elements: an axis that keeps its size and its place is still followed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.graph.evaluation import evaluate
from volunet.graph.operators import OPERATORS

RESHAPE = OPERATORS["Reshape"]


@st.composite
def regroupings(draw: Any) -> tuple[list[int], list[int]]:
    """A shape, and another of as many elements with some sizes kept or left open."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    wanted: list[int] = []
    for size in shape:
        how = draw(st.integers(0, 3))
        if how == 1 and size == 4:
            wanted += [2, 2]
        elif how == 2 and wanted:
            wanted[-1] *= size
        elif how == 3:
            wanted += [size, 1]
        else:
            wanted.append(size)
    open_place = draw(st.integers(0, len(wanted)))
    marked = [-1 if axis == open_place else size for axis, size in enumerate(wanted)]
    for axis, size in enumerate(marked):
        if axis < len(shape) and size == shape[axis] and draw(st.booleans()):
            marked[axis] = 0
    return shape, marked


@settings(max_examples=150, deadline=None, derandomize=True)
@given(regroupings())
def test_elements_are_regrouped_as_in_onnx_runtime(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any,
    drawn: tuple[list[int], list[int]],
) -> None:  # fmt: skip
    shape, wanted = drawn
    model = one("Reshape", [numbers(*shape)], [np.array(wanted)])
    # What is left over has a formula only where the others are numbers or kept: one axis is open.
    check_sizes(model, fixed=range(4))
    check_reads(model)
    check_source(model)


@pytest.mark.parametrize("opset", [1, 5, 13, 14])
def test_a_shape_is_an_attribute_in_opset_1(
    one: Any, numbers: Any, check_sizes: Any, opset: int
) -> None:
    x, wanted = numbers(2, 3, 4), [0, -1]
    if opset == 1:
        # ONNX Runtime runs models from opset 7 on.
        model = one("Reshape", [x], opset=1, shape=wanted)
        assert model.node.outputs[0].shape == (2, 12)
    else:
        model = one("Reshape", [x], [np.array(wanted)], opset=max(opset, 7))
        assert check_sizes(model) == [(2, 12)]


@pytest.mark.parametrize(
    ("wanted", "texts"),
    [
        ([0, 4, -1], ["n", "4", "d·h·w·2"]),
        ([0, 0, -1], ["n", "8", "d·h·w"]),
        ([-1, 8], ["d·h·n·w", "8"]),
        ([0, 2, 4, 0, -1], None),
    ],
)
def test_what_is_left_over_is_a_formula(
    one: Any, numbers: Any, wanted: list[int], texts: list[str] | None
) -> None:
    model = one("Reshape", [numbers(2, 8, 3, 4, 5)], [np.array(wanted)])
    network, sizes = model.open(fixed=(1,))
    if texts is None:
        # Kept on axis 3 is the height, and what is left over the depth times the width.
        texts = ["n", "2", "4", "h", "d·w"]
    (out,) = network.outputs
    assert [str(size) for size in out.shape] == texts
    assert tuple(evaluate(size, sizes) for size in out.shape) == model.run()[0].shape


def test_a_zero_may_be_a_zero(one: Any, numbers: Any) -> None:
    model = one("Reshape", [numbers(2, 3)], [np.array([0, 6])], allowzero=1)
    assert "elements of 2×3 and of 0×6: 6 and 0" in model.failure


def test_axes_that_keep_size_and_place_are_pointwise(one: Any, numbers: Any) -> None:
    node = one("Reshape", [numbers(2, 4, 5, 6)], [np.array([2, 2, 2, 5, 6])]).node
    reads = [RESHAPE.reads(node, 0, axis) for axis in range(4)]
    assert [read.axis for read in reads] == [0, None, 3, 4]
    assert [read.span.locality for read in reads] == [
        "pointwise", "global", "pointwise", "pointwise",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([4, 5], "elements of 2×3×4 and of 4×5: 24 and 20"),
        ([5, -1], "elements of 2×3×4 and of 5×4: 24 and 20"),
        ([-1, 2, -1], "-1×2×-1: more than one size is left open"),
        ([2, 3, 4, 0], "a size kept on axis 3 of 3"),
    ],
)
def test_what_does_not_fit_is_named(one: Any, numbers: Any, wanted: list[int], found: str) -> None:
    failure = one("Reshape", [numbers(2, 3, 4)], [np.array(wanted)]).failure
    assert failure.startswith("Reshape 'node': ")
    assert found in failure


def test_a_formula_that_does_not_divide_is_named(one: Any, numbers: Any) -> None:
    network, _ = one("Reshape", [numbers(1, 6)], [np.array([4, -1])]).open()
    assert "1×c does not follow as 4×-1" in str(network.failures[0])


def test_a_shape_that_is_data_is_refused(one: Any, numbers: Any) -> None:
    assert (
        "a shape that depends on the data" in one("Reshape", [numbers(2, 3), np.array([6])]).failure
    )
