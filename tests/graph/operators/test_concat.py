"""Joining: sizes add up on one axis, and each input is its own stretch of the output."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.graph.evaluation import evaluate
from volunet.graph.operators import OPERATORS

CONCAT = OPERATORS["Concat"]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_inputs_lie_side_by_side(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, axis: int,
    count: int,
) -> None:  # fmt: skip
    shapes = [[2, 3, 4] for _ in range(count)]
    for index, shape in enumerate(shapes):
        shape[axis] = index + 1
    model = one("Concat", [numbers(*shape) for shape in shapes], axis=axis)
    check_sizes(model, ones=True)
    check_reads(model)
    check_source(model)


def test_slices_of_another_input_are_not_needed(one: Any, numbers: Any) -> None:
    model = one("Concat", [numbers(1, 1, 3), numbers(1, 1, 4)], axis=2)
    spans = [CONCAT.reads(model.node, index, 2).span for index in (0, 1)]
    assert [span.need(2, 5) for span in spans] == [(2, 3), (0, 2)]


def test_a_skip_joins_data(one: Any, numbers: Any) -> None:
    assert CONCAT.role_in(one("Concat", [numbers(1, 2)] * 2, axis=1).node) == "skip"
    assert CONCAT.role_in(one("Concat", [numbers(1, 2)], [numbers(1, 2)], axis=1).node) == "other"


def test_lists_of_sizes_are_joined(parsed: Any, numbers: Any) -> None:
    model = parsed(
        """
        g (float[n,c,d] x) => (int64[6] y) {
            shape = Shape (x)
            y = Concat <axis = 0> (shape, shape)
        }
        """,
        x=numbers(2, 3, 5),
    )  # fmt: skip
    network, sizes = model.open()
    values = network.outputs[0].values
    assert [evaluate(value, sizes) for value in values] == model.run()[0].tolist()


@pytest.mark.parametrize(
    ("shapes", "axis", "found"),
    [
        (((1, 2, 9), (1, 3, 8)), 1, "axis 2 of 'in0' and of 'in1': 9 and 8"),
        (((1, 2, 9), (2, 2, 9)), 1, "axis 0 of 'in0' and of 'in1': 1 and 2"),
        (((1, 2, 9), (2, 9)), 1, "inputs of 3 and 2 axes"),
        (((1, 2, 9), (1, 2, 9)), 3, "axis 3 of a tensor of 3 axes"),
    ],
)
def test_what_does_not_fit_is_named(
    one: Any, numbers: Any, shapes: Any, axis: int, found: str
) -> None:
    model = one("Concat", [numbers(*shape) for shape in shapes], axis=axis)
    assert model.failure.startswith("Concat 'node': ")
    assert found in model.failure
