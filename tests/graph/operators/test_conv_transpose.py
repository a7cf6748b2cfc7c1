"""Transposed convolution, as ONNX Runtime and PyTorch compute it, in 1D, 2D and 3D."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from volunet.graph.operators import OPERATORS

TRANSPOSED = OPERATORS["ConvTranspose"]


@st.composite
def convolutions(draw: Any) -> dict[str, Any]:
    """Sizes and attributes of one whose output has at least a slice on each axis."""
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes))

    kernel, strides, dilations = each(1, 3), each(1, 3), each(1, 2)
    sizes = each(1, 6 if axes < 3 else 3)
    full = [
        (size - 1) * s + d * (k - 1) + 1
        for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    # Less than a slice is never left over, nor more cut off than PyTorch takes.
    begin = [draw(st.integers(0, min(2, (size - 1) // 2))) for size in full]
    # On every axis some output slice gets input: else the other axes' slices move nothing.
    for axis in range(axes):
        if not any(
            begin[axis] <= i * strides[axis] + k * dilations[axis] < full[axis] - begin[axis]
            for i in range(sizes[axis])
            for k in range(kernel[axis])
        ):
            begin[axis] = 0
    end = [draw(st.sampled_from([b, b, max(b - 1, 0)])) for b in begin]
    # Added behind: fewer slices than the stride, which ONNX Runtime asks for.
    added = [draw(st.integers(0, stride - 1)) for stride in strides]
    group = draw(st.sampled_from([1, 1, 2]))
    channels, kernels = draw(st.integers(1, 2)) * group, draw(st.integers(1, 2))
    return {
        "x": (1, channels, *sizes),
        "weight": (channels, kernels, *kernel),
        "bias": draw(st.booleans()),
        "attributes": {
            "strides": strides,
            "dilations": dilations,
            "group": group,
            "pads": begin + end,
            "output_padding": added,
        },
    }


@pytest.fixture(scope="session")
def model_of(one: Any, numbers: Any) -> Any:
    """Make the model of what was drawn."""

    def make(drawn: dict[str, Any]) -> Any:
        weight = drawn["weight"]
        constants = [numbers(*weight, seed=1)]
        if drawn["bias"]:
            constants.append(numbers(weight[1] * drawn["attributes"]["group"], seed=2))
        return one("ConvTranspose", [numbers(*drawn["x"])], constants, **drawn["attributes"])

    return make


@settings(max_examples=60, deadline=None, derandomize=True)
@given(convolutions())
def test_sizes_are_those_of_onnx_runtime(
    model_of: Any, check_sizes: Any, drawn: dict[str, Any]
) -> None:
    check_sizes(model_of(drawn), fixed=(1,), ones=True)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(convolutions())
def test_the_cone_is_exact(model_of: Any, check_reads: Any, drawn: dict[str, Any]) -> None:
    # On the channels' axis a group reads its own channels; the rule says all.
    loose = [(0, 1)] if drawn["attributes"]["group"] > 1 else []
    check_reads(model_of(drawn), loose=loose, gaps=max(drawn["attributes"]["dilations"]) > 1)


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
    flops = TRANSPOSED.flops(model.node)
    assert flops.products == counter.get_total_flops()
    assert flops.others == (model.run()[0].size if drawn["bias"] else 0)


def test_the_notes_example_leaves_every_second_slice_without_input(
    one: Any, numbers: Any, check_reads: Any
) -> None:
    model = one(
        "ConvTranspose", [numbers(1, 1, 5)], [numbers(1, 1, 2)],
        strides=[2], dilations=[2], pads=[1, 1],
    )  # fmt: skip
    check_reads(model)
    assert model.node.outputs[0].shape == (1, 1, 9)
    span = TRANSPOSED.reads(model.node, 0, 2).span
    assert [span.need(z, z + 1) for z in range(4)] == [(0, 0), (0, 2), (0, 0), (1, 3)]
    assert model.run()[0][0, 0, ::2].tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_that_follows_from_a_word(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, auto_pad: str, kernel: int,
    stride: int,
) -> None:  # fmt: skip
    model = one(
        "ConvTranspose", [numbers(1, 1, 5)], [numbers(1, 1, kernel)],
        strides=[stride], auto_pad=auto_pad,
    )  # fmt: skip
    check_sizes(model)
    check_reads(model)


@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("size", [8, 9, 10, 11, 12])
def test_the_size_may_be_asked_for(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, auto_pad: str, size: int
) -> None:
    model = one(
        "ConvTranspose", [numbers(1, 1, 5)], [numbers(1, 1, 3)],
        strides=[2], output_shape=[size], auto_pad=auto_pad,
    )  # fmt: skip
    check_sizes(model)
    check_reads(model)


def test_weights_that_are_computed_are_followed_too(
    one: Any, numbers: Any, check_reads: Any
) -> None:
    inputs = [numbers(1, 4, 5), numbers(4, 3, 3, seed=1), numbers(3, seed=2)]
    model = one("ConvTranspose", inputs)
    check_reads(model)
    assert TRANSPOSED.source(model.node) is None
    inputs[2] = numbers(6)
    check_reads(one("ConvTranspose", inputs, group=2), loose=[(0, 1)])


def test_the_pytorch_module_is_written_as_short_as_it_can_be(one: Any, numbers: Any) -> None:
    inputs = [numbers(1, 4, 3, 3, 3)], [numbers(4, 2, 2, 2, 2), numbers(2)]
    source = TRANSPOSED.source(one("ConvTranspose", *inputs, strides=[2, 2, 2]).node)
    assert source is not None
    assert source.module == "nn.ConvTranspose3d(4, 2, kernel_size=2, stride=2)"


@pytest.mark.parametrize(
    ("x", "weight", "attributes", "found"),
    [
        ((1, 3, 9), (4, 2, 3), {}, "channels of the input and those of the weights: 3 and 4"),
        ((1, 3, 9), (3, 2, 3), {"group": 2}, "channels and 2 equal groups of them: 3 and 2"),
        ((1, 3, 1), (3, 4, 2), {"pads": [1, 1]}, "axis 2 of its output: 0, at least 1 is needed"),
        ((1, 3, 9), (3, 4, 3), {"strides": [1, 1]}, "strides (1, 1)"),
        ((1, 3, 9), (3, 4, 3), {"pads": [1]}, "pads (1,)"),
        ((1, 3, 9), (3, 4, 3), {"strides": [0]}, "strides (0,)"),
        ((1, 3, 9), (3, 4, 3), {"auto_pad": "SOME"}, "auto_pad is 'SOME'"),
        ((1, 3, 9), (3, 4, 3), {"output_shape": [9, 9]}, "output_shape (9, 9) for 1 spatial axes"),
    ],
)
def test_what_does_not_fit_is_named(
    one: Any, numbers: Any, x: Any, weight: Any, attributes: Any, found: str
) -> None:
    failure = one("ConvTranspose", [numbers(*x)], [numbers(*weight)], **attributes).failure
    assert failure.startswith("ConvTranspose 'node': ")
    assert found in failure
