"""Convolution, as ONNX Runtime and PyTorch compute it, in 1D, 2D and 3D."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from volunet.graph.operators import OPERATORS

CONV = OPERATORS["Conv"]


@st.composite
def convolutions(draw: Any) -> dict[str, Any]:
    """Sizes and attributes of one whose output has at least a slice on each axis."""
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes))

    kernel, strides, dilations = each(1, 3), each(1, 3), each(1, 2)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    # No window lies in the padding alone: it would follow no axis of the input.
    begin, end = ([draw(st.integers(0, min(r - 1, 3))) for r in reach] for _ in range(2))
    # At least as long as its window without padding; longer by less in 3D, which costs more.
    sizes = [r + extra for r, extra in zip(reach, each(0, 6 if axes < 3 else 3), strict=True)]
    group = draw(st.sampled_from([1, 1, 2]))
    channels, kernels = draw(st.integers(1, 2)) * group, draw(st.integers(1, 2)) * group
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "group": group}
    auto_pad = draw(st.sampled_from(["", "", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if auto_pad:
        attributes["auto_pad"] = auto_pad
        if auto_pad != "VALID":
            # ONNX Runtime takes no dilation with SAME.
            attributes["dilations"] = [1] * axes
    else:
        attributes["pads"] = begin + end
    if draw(st.booleans()):
        attributes["kernel_shape"] = kernel
    return {
        "x": (1, channels, *sizes),
        "weight": (kernels, channels // group, *kernel),
        "bias": draw(st.booleans()),
        "attributes": attributes,
    }


@pytest.fixture(scope="session")
def model_of(one: Any, numbers: Any) -> Any:
    """Make the model of what was drawn."""

    def make(drawn: dict[str, Any]) -> Any:
        constants = [numbers(*drawn["weight"], seed=1)]
        if drawn["bias"]:
            constants.append(numbers(drawn["weight"][0], seed=2))
        return one("Conv", [numbers(*drawn["x"])], constants, **drawn["attributes"])

    return make


@settings(max_examples=60, deadline=None, derandomize=True)
@given(convolutions())
def test_sizes_are_those_of_onnx_runtime(
    model_of: Any, check_sizes: Any, drawn: dict[str, Any]
) -> None:
    check_sizes(model_of(drawn), fixed=(1,), ones=True)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(convolutions())
def test_the_cone_is_exact(model_of: Any, check_reads: Any, drawn: dict[str, Any]) -> None:
    model = model_of(drawn)
    # On the channels' axis a group reads its own channels; the rule says all.
    loose = [(0, 1)] if drawn["attributes"]["group"] > 1 else []
    check_reads(model, loose=loose, gaps=max(drawn["attributes"]["dilations"]) > 1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(convolutions())
def test_pytorch_computes_the_same_with_as_many_flops(
    model_of: Any, check_source: Any, drawn: dict[str, Any]
) -> None:
    model = model_of(drawn)
    counter = FlopCounterMode(display=False)
    with counter:
        check_source(model, at_numbers_alone=True)
    check_source(model, fixed=(1,))
    flops = CONV.flops(model.node)
    assert flops.products == counter.get_total_flops()
    assert flops.others == (model.run()[0].size if drawn["bias"] else 0)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.integers(1, 20), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 4)
)
def test_sizes_are_those_of_pytorch(
    one: Any, numbers: Any, size: int, kernel: int, stride: int, dilation: int, pad: int
) -> None:
    x, weight = numbers(1, 1, size), numbers(1, 1, kernel)
    model = one("Conv", [x], [weight], strides=[stride], dilations=[dilation], pads=[pad, pad])
    reach = dilation * (kernel - 1) + 1
    if size + 2 * pad < reach:
        assert "axis 2 of its output: " in model.failure
        assert "at least 1 is needed" in model.failure
        return
    expected = torch.nn.functional.conv1d(
        torch.tensor(x), torch.tensor(weight), None, stride, pad, dilation
    )
    assert model.node.outputs[0].shape == tuple(expected.shape)


def test_weights_that_are_computed_are_followed_too(
    one: Any, numbers: Any, check_reads: Any, check_sizes: Any
) -> None:
    inputs = [numbers(1, 4, 5, 5), numbers(2, 2, 3, 3, seed=1), numbers(2, seed=2)]
    model = one("Conv", inputs, group=2)
    check_sizes(model, fixed=(0, 1, 2, 3))
    check_reads(model, loose=[(0, 1)])
    assert CONV.source(model.node) is None


def test_depthwise_channels_are_read_one_by_one(one: Any, numbers: Any, check_reads: Any) -> None:
    model = one("Conv", [numbers(2, 3, 5)], [numbers(3, 1, 3, seed=1)], group=3)
    check_reads(model)
    assert CONV.reads(model.node, 0, 1).span.locality == "pointwise"


def test_the_pytorch_module_is_written_as_short_as_it_can_be(one: Any, numbers: Any) -> None:
    x, weight = numbers(1, 2, 9, 9, 9), numbers(4, 2, 3, 3, 3)
    plain = CONV.source(one("Conv", [x], [weight, numbers(4)], pads=[1] * 6).node)
    assert plain is not None
    assert plain.call == "{module}({0})"
    assert plain.module == "nn.Conv3d(2, 4, kernel_size=3, padding=1)"
    skewed = CONV.source(one("Conv", [x], [weight], pads=[0, 1, 1, 1, 1, 2]).node)
    assert skewed is not None
    assert skewed.call == "{module}(F.pad({0}, [1, 2, 1, 1, 0, 1]))"
    assert skewed.module == "nn.Conv3d(2, 4, kernel_size=3, bias=False)"


@pytest.mark.parametrize(
    ("x", "weight", "attributes", "found"),
    [
        ((1, 3, 9), (4, 2, 3), {}, "channels of the input and those of the weights: 3 and 2"),
        ((1, 4, 9), (3, 2, 3), {"group": 2}, "kernels and 2 equal groups of them: 3 and 2"),
        ((1, 3, 2), (4, 3, 3), {}, "axis 2 of its output: 0, at least 1 is needed"),
        ((1, 3, 9), (4, 3, 3), {"strides": [1, 1]}, r"strides is (1, 1), for 1 spatial axes"),
        ((1, 3, 9), (4, 3, 3), {"pads": [1]}, r"pads is (1,), for 1 spatial axes"),
        ((1, 3, 9), (4, 3, 3, 3), {}, r"kernel_shape is (3, 3), for 1 spatial axes"),
        ((1, 3, 9), (4, 3, 3), {"strides": [0]}, "strides (0,), dilations (1,)"),
        ((1, 3, 9), (4, 3, 3), {"auto_pad": "SOME"}, "auto_pad is 'SOME'"),
    ],
)
def test_what_does_not_fit_is_named(
    one: Any, numbers: Any, x: Any, weight: Any, attributes: Any, found: str
) -> None:
    failure = one("Conv", [numbers(*x)], [numbers(*weight)], **attributes).failure
    assert failure.startswith("Conv 'node': ")
    assert found in failure


def test_a_convolution_without_weights_is_refused(one: Any, numbers: Any) -> None:
    assert "input 1 is missing" in one("Conv", [numbers(1, 3, 9)]).failure


def test_the_bias_is_added_to_every_voxel(one: Any, numbers: Any, check_source: Any) -> None:
    model = one("Conv", [numbers(1, 1, 4)], [numbers(1, 1, 1), np.float32([7])])
    assert check_source(model).weights == {"weight": 1, "bias": 2}
