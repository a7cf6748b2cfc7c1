"""Constants: tensors, numbers and lists of numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

VALUES: list[tuple[dict[str, Any], Any]] = [
    ({"value": numpy_helper.from_array(np.array([[1, 2], [3, 4]], np.int64))}, (1, 2, 3, 4)),
    ({"value": numpy_helper.from_array(np.array(0.5, np.float32))}, (Fraction(1, 2),)),
    ({"value": numpy_helper.from_array(np.array([True, False]))}, (1, 0)),
    ({"value": numpy_helper.from_array(np.zeros(65, np.int64))}, None),
    ({"value": numpy_helper.from_array(np.array([np.inf, 1.0], np.float32))}, None),
    ({"value_int": 7}, (7,)),
    ({"value_ints": [7, -1]}, (7, -1)),
    ({"value_float": 0.25}, (Fraction(1, 4),)),
    ({"value_floats": [0.25, 3.0]}, (Fraction(1, 4), Fraction(3))),
]


@pytest.mark.parametrize(("attributes", "values"), VALUES, ids=lambda part: str(part)[:40])
def test_a_constant_is_what_onnx_runtime_makes_of_it(
    one: Any, check_sizes: Any, attributes: dict[str, Any], values: Any
) -> None:
    model = one("Constant", [], **attributes)
    check_sizes(model)
    (constant,) = model.node.outputs
    assert constant.values == values
    assert not constant.is_data
    if values is not None:
        assert [float(value) for value in values] == model.run()[0].astype(float).ravel().tolist()


def test_a_text_is_no_supported_constant(one: Any) -> None:
    model = one("Constant", [], value_string="a")
    assert "no value of a supported kind among value_string" in model.failure
