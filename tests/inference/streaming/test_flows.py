"""What runs slice by slice, and what must wait for all slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

SIZE = (9, 4, 3)


def whole_kinds(built: Any) -> list[str]:
    pairs = zip(built.fixed.steps, built.flows.nodes, strict=True)
    return [step.rule.op_type for step, flow in pairs if flow.is_whole]


@pytest.mark.parametrize(
    ("keys", "waits"),
    [
        ({}, False),
        ({"pads": [1, 0, 0, 1, 0, 0]}, True),
        ({"pads": [1, 0, 0, 1, 0, 0], "count_include_pad": 1}, False),
        ({"ceil_mode": 1, "strides": [2, 1, 1]}, True),
    ],
    ids=["plain", "padding left out", "padding counted", "ceil"],
)
def test_averages_of_windows_that_are_not_alike_wait(
    keys: dict[str, Any], waits: bool, net: Any, build: Any
) -> None:
    made = net(SIZE)
    made.add("AveragePool", kernel_shape=[2, 1, 1], **keys)
    assert whole_kinds(build(made.model(), SIZE, 2)) == (["AveragePool"] if waits else [])


@pytest.mark.parametrize(
    ("keys", "scale", "waits"),
    [
        ({"mode": "nearest"}, 2.0, False),
        ({"mode": "nearest", "nearest_mode": "floor",
          "coordinate_transformation_mode": "half_pixel_symmetric"}, 1.5, True),
        ({"mode": "linear"}, 1.5, False),
        ({"mode": "linear", "antialias": 1}, 0.5, True),
        ({"mode": "cubic"}, 2.0, True),
    ],
    ids=["nearest", "ties", "linear", "antialias", "cubic"],
)  # fmt: skip
def test_resizing_whose_neighbours_the_engine_chooses_waits(
    keys: dict[str, Any], scale: float, waits: bool, net: Any, build: Any
) -> None:
    made = net(SIZE)
    made.add("Resize", made.x, "", made.weight(np.float32([1, 1, scale, 1, 1])), **keys)
    assert whole_kinds(build(made.model(), SIZE, 2)) == (["Resize"] if waits else [])


def test_the_axis_is_followed_through_a_transpose(net: Any, build: Any) -> None:
    made = net(SIZE)
    turned = made.add("Transpose", perm=[0, 1, 4, 2, 3])
    made.add("Softmax", axis=2)
    built = build(made.model(), SIZE, 2)
    assert (built.axes["x"], built.axes[turned]) == (2, 3)
    assert whole_kinds(built) == []
    assert whole_kinds(build(made.model(), SIZE, 4)) == ["Softmax"]


def test_a_constant_that_differs_along_the_axis_waits(net: Any, build: Any) -> None:
    made = net(SIZE)
    made.add("Add", made.x, made.normal(9, 1, 1))
    made.add("Mul", made.x, made.normal(1, 4, 1))
    assert whole_kinds(build(made.model(), SIZE, 2)) == ["Add"]
    assert whole_kinds(build(made.model(), SIZE, 3)) == ["Mul"]
    assert whole_kinds(build(made.model(), SIZE, 4)) == []


def test_one_slice_is_repeated_in_a_sum_but_not_joined(
    net: Any, build: Any, execute: Any, whole: Any, scan: Any
) -> None:
    made = net((1, 4, 3))
    x = made.conv(2, (1, 3, 1), pads=[0, 1, 0, 0, 1, 0])
    made.add("Slice", x, *(made.weight(np.array([n])) for n in (0, -99, 2, -1)))
    made.add("Concat", x, made.x, axis=1)
    built = build(made.model(), (1, 4, 3), 2, 2)
    assert whole_kinds(built) == ["Slice", "Concat"]
    numbers = scan(1, 4, 3)
    # Float32 sums of six products.
    assert np.abs(execute(built, numbers) - whole(made.model(), numbers)).max() <= 1e-6


def test_slices_that_end_in_one_are_streamed_again_behind_it(net: Any, build: Any) -> None:
    made = net((4, 4, 3))
    skip = made.conv(2, (3, 1, 1), pads=[1, 0, 0, 1, 0, 0])
    pooled = made.add("MaxPool", kernel_shape=[4, 1, 1], strides=[4, 1, 1])
    up = made.transposed(2, (4, 1, 1), strides=[4, 1, 1])
    made.add("Concat", skip, up, axis=1)
    made.conv(2, (3, 1, 1))
    built = build(made.model(), (4, 4, 3), 2)
    assert whole_kinds(built) == ["MaxPool", "ConvTranspose"]
    assert (built.axes[pooled], built.axes[up], built.axes[skip]) == (None, 2, 2)
