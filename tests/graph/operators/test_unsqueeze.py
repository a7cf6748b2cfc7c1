"""Adding axes of size 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("axes", [[0], [2], [0, 1], [3, 0], [-1], [-2, 1]])
def test_axes_are_added(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, opset: int,
    axes: list[int],
) -> None:  # fmt: skip
    x = numbers(3, 4)
    if opset == 11:
        model = one("Unsqueeze", [x], opset=opset, axes=axes)
    else:
        model = one("Unsqueeze", [x], [np.array(axes)], opset=opset)
    check_sizes(model)
    check_reads(model)
    check_source(model)


def test_what_does_not_fit_is_named(one: Any, numbers: Any) -> None:
    assert "no axes" in one("Unsqueeze", [numbers(3, 4)]).failure
    model = one("Unsqueeze", [numbers(3, 4)], [np.array([3])])
    assert "axis 3 of a tensor of 3 axes" in model.failure
    twice = one("Unsqueeze", [numbers(3, 4)], [np.array([0, -4])])
    assert "axes (0, -4) name one twice" in twice.failure
    data = one("Unsqueeze", [numbers(3, 4), np.array([0])])
    assert "axes that depend on the data" in data.failure
