"""One value, repeated to a shape."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from volunet.graph.evaluation import evaluate


@pytest.mark.parametrize("shape", [[], [3], [2, 3], [9, 9]])
@pytest.mark.parametrize("value", [None, np.int64(7), np.float32(0.5)])
def test_a_value_is_repeated(
    one: Any, check_sizes: Any, check_source: Any, shape: list[int], value: Any
) -> None:
    attributes = (
        {} if value is None else {"value": numpy_helper.from_array(value.reshape(1), "value")}
    )
    model = one("ConstantOfShape", [], [np.array(shape, np.int64)], **attributes)
    check_sizes(model)
    check_source(model)
    count = int(np.prod(shape))
    # Only short lists are kept.
    number = Fraction(0) if value is None else Fraction(float(value))
    assert model.node.outputs[0].values == ((number,) * count if count <= 64 else None)
    assert not model.node.outputs[0].is_data


def test_its_shape_may_be_a_formula(parsed: Any, numbers: Any) -> None:
    model = parsed(
        """
        g (float[d,h] x) => (float[d,h] y) {
            shape = Shape (x)
            y = ConstantOfShape (shape)
        }
        """,
        x=numbers(3, 4),
    )
    network, sizes = model.open()
    assert [evaluate(size, sizes) for size in network.outputs[0].shape] == [3, 4]
    assert network.outputs[0].values is None
    assert not network.outputs[0].is_data


def test_a_shape_that_is_data_is_refused(one: Any) -> None:
    assert "a shape that depends on the data" in one("ConstantOfShape", [np.array([2])]).failure
