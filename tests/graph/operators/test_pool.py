"""Pooling, floor and ceil mode, as ONNX Runtime and PyTorch compute it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from volunet.graph.operators import OPERATORS


@st.composite
def poolings(draw: Any) -> dict[str, Any]:
    """Sizes and attributes of one that ONNX Runtime takes."""
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes))

    kind = draw(st.sampled_from(["MaxPool", "AveragePool", "LpPool"]))
    kernel, strides, dilations = each(1, 4), each(1, 4), each(1, 2)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = [r + extra for r, extra in zip(reach, each(0, 6 if axes < 3 else 3), strict=True)]
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides}
    auto_pad = draw(st.sampled_from(["", "", "", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if auto_pad:
        attributes["auto_pad"] = auto_pad
        # Between windows that do not touch, ONNX Runtime refuses to work SAME out.
        attributes["strides"] = [min(s, k) for s, k in zip(strides, kernel, strict=True)]
    else:
        # Padding is less than the kernel: ONNX Runtime asks for it.
        begin = [draw(st.integers(0, k - 1)) for k in kernel]
        end = [draw(st.sampled_from([b, b, k - 1])) for b, k in zip(begin, kernel, strict=True)]
        attributes |= {"pads": begin + end, "dilations": dilations}
    if not auto_pad and kind != "LpPool":  # nobody exports ceil mode with a word for the padding
        attributes["ceil_mode"] = draw(st.integers(0, 1))
    if kind == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    return {"kind": kind, "x": (1, 2, *sizes), "attributes": attributes}


@pytest.fixture(scope="session")
def model_of(one: Any, numbers: Any) -> Any:
    """Make the model of what was drawn."""

    def make(drawn: dict[str, Any]) -> Any:
        # Dilations of average pooling are of opset 19, those of Lp pooling of 18.
        return one(drawn["kind"], [numbers(*drawn["x"])], opset=19, **drawn["attributes"])

    return make


@settings(max_examples=120, deadline=None, derandomize=True)
@given(poolings())
def test_sizes_are_those_of_onnx_runtime(
    model_of: Any, check_sizes: Any, drawn: dict[str, Any]
) -> None:
    check_sizes(model_of(drawn), fixed=(1,), ones=True)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(poolings())
def test_the_cone_is_exact(model_of: Any, check_reads: Any, drawn: dict[str, Any]) -> None:
    check_reads(model_of(drawn), gaps=max(drawn["attributes"].get("dilations", [1])) > 1)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(poolings())
def test_pytorch_computes_the_same(model_of: Any, check_source: Any, drawn: dict[str, Any]) -> None:
    model = model_of(drawn)
    attributes = drawn["attributes"]
    axes = len(drawn["x"]) - 2
    pads = attributes.get("pads", [0] * 2 * axes)
    if OPERATORS[drawn["kind"]].source(model.node) is None:
        skewed = pads[:axes] != pads[axes:] or "SAME" in attributes.get("auto_pad", "")
        kernel = attributes["kernel_shape"]
        wide = any(2 * p > k for p, k in zip(pads[:axes], kernel, strict=True))
        dilated = attributes.get("dilations", [1]) != [1] * axes and drawn["kind"] != "MaxPool"
        counted = attributes.get("count_include_pad") and attributes.get("ceil_mode")
        partly = (skewed or wide) and counted
        assert dilated or partly
    else:
        check_source(model)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.integers(1, 20), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3), st.booleans(),
    st.data(),
)  # fmt: skip
def test_sizes_are_those_of_pytorch(
    one: Any, numbers: Any, size: int, kernel: int, stride: int, dilation: int, ceil: bool,
    data: Any,
) -> None:  # fmt: skip
    pad = data.draw(st.integers(0, kernel // 2))
    model = one(
        "MaxPool", [numbers(1, 1, size)],
        kernel_shape=[kernel], strides=[stride], dilations=[dilation], pads=[pad, pad],
        ceil_mode=int(ceil),
    )  # fmt: skip
    reach = dilation * (kernel - 1) + 1
    if size + 2 * pad < reach and not (ceil and size + 2 * pad + stride > reach):
        assert "axis 2 of its output: " in model.failure
        return
    pool = nn.MaxPool1d(kernel, stride, pad, dilation, ceil_mode=ceil)
    expected = pool(torch.zeros(1, 1, size))
    assert model.node.outputs[0].shape == tuple(expected.shape)


def test_places_of_the_largest_are_a_second_output(
    one: Any, numbers: Any, check_sizes: Any, check_source: Any
) -> None:
    model = one("MaxPool", [numbers(1, 2, 8, 9)], outputs=2, kernel_shape=[2, 2], strides=[2, 2])
    assert check_sizes(model) == [(1, 2, 4, 4), (1, 2, 4, 4)]
    assert check_source(model).module == "nn.MaxPool2d(2)"


def test_the_pytorch_module_is_written_as_short_as_it_can_be(one: Any, numbers: Any) -> None:
    x = [numbers(1, 1, 9, 9, 9)]
    plain = one("AveragePool", x, kernel_shape=[2, 2, 2], strides=[2, 2, 2])
    assert OPERATORS["AveragePool"].source(plain.node).module == "nn.AvgPool3d(2)"
    other = one("MaxPool", x, kernel_shape=[3, 3, 3], strides=[2, 2, 2], pads=[1] * 6, ceil_mode=1)
    assert (
        OPERATORS["MaxPool"].source(other.node).module
        == "nn.MaxPool3d(3, stride=2, padding=1, ceil_mode=True)"
    )


def test_a_tap_is_an_operation(one: Any, numbers: Any) -> None:
    model = one("MaxPool", [numbers(1, 3, 8, 8)], kernel_shape=[2, 3], strides=[2, 2])
    assert model.node.outputs[0].shape == (1, 3, 4, 3)
    assert OPERATORS["MaxPool"].flops(model.node).others == 3 * 4 * 3 * 6


@pytest.mark.parametrize(
    ("size", "attributes", "found"),
    [
        (2, {"kernel_shape": [3]}, "axis 2 of its output: 0, at least 1 is needed"),
        (9, {}, "no kernel_shape"),
        (9, {"kernel_shape": [2, 2]}, "kernel_shape is (2, 2), for 1 spatial axes"),
        (9, {"kernel_shape": [2], "strides": [0]}, "strides (0,), dilations (1,)"),
        (9, {"kernel_shape": [2], "dilations": [1, 1]}, "dilations is (1, 1), for 1 spatial"),
        (9, {"kernel_shape": [2], "auto_pad": "SOME"}, "auto_pad is 'SOME'"),
    ],
)
def test_what_does_not_fit_is_named(
    one: Any, numbers: Any, size: int, attributes: Any, found: str
) -> None:
    assert found in one("MaxPool", [numbers(1, 1, size)], **attributes).failure
