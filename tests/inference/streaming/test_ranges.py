"""Every operator that is changed for a range of slices answers as on all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from volunet.inference.streaming.kernels import kernel_model

SIZE = (7, 6, 5)


def placed(net: Any, *numbers: Any) -> list[str]:
    return [net.weight(np.array(n)) for n in numbers]


def conv(net: Any) -> None:
    net.conv(3, (3, 2, 3), strides=[2, 1, 2], dilations=[2, 1, 1], pads=[3, 0, 2, 1, 1, 0])


def conv_auto(net: Any) -> None:
    net.conv(3, (4, 3, 2), strides=[2, 2, 2], auto_pad="SAME_UPPER")


def max_pool(net: Any) -> None:
    net.add("MaxPool", kernel_shape=[3, 3, 3], strides=[2, 2, 2], pads=[1] * 6, ceil_mode=1)


def average_pool(net: Any) -> None:
    pads = [1, 0, 1, 0, 1, 1]
    net.add("AveragePool", kernel_shape=[2, 3, 2], pads=pads, count_include_pad=1)


def transposed(net: Any) -> None:
    net.transposed(
        2, (3, 3, 2), strides=[2, 1, 3], dilations=[1, 2, 1], pads=[1, 0, 0, 0, 1, 1],
        output_padding=[1, 0, 2],
    )  # fmt: skip


def transposed_auto(net: Any) -> None:
    net.transposed(2, (3, 3, 3), strides=[2, 2, 2], auto_pad="SAME_LOWER")


def transposed_shape(net: Any) -> None:
    net.transposed(2, (3, 3, 3), strides=[2, 2, 2], output_shape=[14, 11, 9])


def pad_constant(net: Any) -> None:
    pads = placed(net, [0, 0, 2, -1, 1, 0, 0, -2, 3, 0], np.float32(0.75))
    net.add("Pad", net.x, *pads)


def pad_reflect(net: Any) -> None:
    net.add("Pad", net.x, *placed(net, [0, 0, 2, 1, 3, 0, 0, 1, 2, 0]), mode="reflect")


def pad_attribute(net: Any) -> None:
    net.add("Pad", pads=[0, 0, 2, 0, 1, 0, 0, 1, 3, 0], value=0.75)


def slice_input(net: Any) -> None:
    net.add("Slice", net.x, *placed(net, [1, 5, 0], [99, -99, 5], [2, 3, 4], [3, -2, 1]))


def slice_attribute(net: Any) -> None:
    net.add("Slice", starts=[1, 0, -4], ends=[6, 4, 2**31 - 1], axes=[2, 3, 4])


def reshape(net: Any) -> None:
    net.add("Reshape", net.x, *placed(net, [1, 4, *SIZE[:2], SIZE[2]]))


def expand(net: Any) -> None:
    net.add("ReduceMean", net.x, *placed(net, [1]), keepdims=1)
    net.add("Expand", net.x, *placed(net, [1, 3, 1, 1, 1]))


def resize_scales(net: Any) -> None:
    net.add("Resize", net.x, "", *placed(net, np.float32([1, 1, 2, 1.5, 0.5])), mode="linear")


def resize_sizes(net: Any) -> None:
    net.add("Resize", net.x, "", "", *placed(net, [1, 2, 13, 8, 9]), mode="linear")


def resize_axes(net: Any) -> None:
    keys = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    scales = placed(net, np.float32([2, 3]))
    net.add("Resize", net.x, "", *scales, mode="nearest", axes=[3, 2], **keys)


def resize_ten(net: Any) -> None:
    net.add("Resize", net.x, *placed(net, np.float32([1, 1, 2, 3, 2])), mode="nearest")


def upsample_input(net: Any) -> None:
    net.add("Upsample", net.x, *placed(net, np.float32([1, 1, 2, 3, 2])), mode="nearest")


def upsample_attribute(net: Any) -> None:
    net.add("Upsample", scales=[1.0, 1.0, 2.0, 3.0, 2.0], mode="nearest")


CASES = [
    (conv, 21), (conv_auto, 21), (max_pool, 21), (average_pool, 21), (transposed, 21),
    (transposed_auto, 21), (transposed_shape, 21), (pad_constant, 21), (pad_reflect, 21),
    (pad_attribute, 10), (slice_input, 21), (slice_attribute, 9), (reshape, 21), (expand, 21),
    (resize_scales, 21), (resize_sizes, 21), (resize_axes, 21), (resize_ten, 10),
    (upsample_input, 9), (upsample_attribute, 7),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "opset"), CASES, ids=[c.__name__ for c, _ in CASES])
def test_ranges_put_together_are_the_whole(
    layer: Any, opset: int, net: Any, build: Any, execute: Any, whole: Any, scan: Any
) -> None:
    channels = 4 if layer is reshape else 2
    made = net(SIZE, channels, opset)
    layer(made)
    made.add("Neg")  # behind it in the same group
    x = scan(*SIZE, channels=channels)
    want = whole(made.model(), x)
    for axis in (2, 3, 4):
        built = build(made.model(), SIZE, axis, 2)
        # A slice backwards is read from its end: at once.
        backwards = layer is slice_input and axis == 3
        assert any(flow.is_whole for flow in built.flows.nodes) == backwards
        assert np.abs(execute(built, x) - want).max() <= 1e-5


def test_only_the_streamed_axis_loses_its_padding(net: Any, build: Any) -> None:
    made = net(SIZE)
    conv(made)
    built = build(made.model(), SIZE, 2, 2)
    (call,) = built.program.calls
    model = kernel_model(built.fixed, call.kernel, built.axes)
    (node,) = (n for n in model.graph if n.op_type == "Conv")
    assert list(node.attributes["pads"].as_ints()) == [0, 0, 2, 0, 1, 0]
    assert list(node.attributes["strides"].as_ints()) == [2, 1, 2]
    assert [tuple(v.shape) for v in model.graph.inputs] == [(1, 7, 6, 5, 2)]
    assert [tuple(v.shape) for v in model.graph.outputs] == [(1, 2, 6, 3, 3)]


@pytest.mark.parametrize(
    ("layer", "opset", "axis", "op_type"),
    [
        (slice_attribute, 9, 2, "Slice"),
        (upsample_attribute, 7, 3, "Upsample"),
        (resize_axes, 21, 4, "Resize"),
    ],
    ids=["slice", "upsample", "resize"],
)
def test_what_is_left_to_do_on_the_other_axes_is_kept(
    layer: Any, opset: int, axis: int, op_type: str, net: Any, build: Any
) -> None:
    made = net(SIZE, 2, opset)
    layer(made)
    built = build(made.model(), SIZE, axis, 2)
    model = kernel_model(built.fixed, built.program.calls[0].kernel, built.axes)
    assert op_type in [node.op_type for node in model.graph]


def test_nothing_left_to_do_is_nothing(net: Any, build: Any) -> None:
    made = net(SIZE)
    made.add("Slice", made.x, *placed(made, [1], [5], [3]))
    made.add("Pad", made.x, *placed(made, [0, 0, 0, 2, 0, 0, 0, 0, 0, 0]))
    built = build(made.model(), SIZE, 3, 2)
    models: list[ir.Model] = [
        kernel_model(built.fixed, call.kernel, built.axes) for call in built.program.calls
    ]
    kinds = [node.op_type for model in models for node in model.graph]
    assert kinds == ["Transpose", "Identity", "Transpose"] * 2
