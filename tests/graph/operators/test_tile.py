"""Repeating along axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.mark.parametrize("repeats", [[1, 1, 1], [2, 1, 3], [1, 2, 1]])
def test_axes_are_repeated(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any,
    repeats: list[int],
) -> None:  # fmt: skip
    model = one("Tile", [numbers(2, 3, 4)], [np.array(repeats)])
    check_sizes(model)
    # Each output slice is one of the input's; the rule says all, where they are repeated.
    check_reads(model, loose=[(0, axis) for axis in range(3) if repeats[axis] > 1])
    check_source(model)


def test_what_does_not_fit_is_named(one: Any, numbers: Any) -> None:
    model = one("Tile", [numbers(2, 3)], [np.array([2])])
    assert "1 repeats for 2 axes" in model.failure
    nothing = one("Tile", [numbers(2, 3)], [np.array([2, 0])])
    assert "axis 1 of its output: 0, at least 1 is needed" in nothing.failure
    data = one("Tile", [numbers(2, 3), np.array([2, 1])])
    assert "a shape that depends on the data" in data.failure
