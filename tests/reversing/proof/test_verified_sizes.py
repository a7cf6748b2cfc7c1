"""The sizes that are verified at are taken by the network, differ, and show what it computes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from volunet.errors import ShapeError
from volunet.graph.network import infer_sizes
from volunet.reversing.proof.verified_sizes import MOST_FLOPS, choose_sizes

VOLUME = ("n", 1, "d", "h", "w")


def model_of(
    nodes: Sequence[NodeProto], weights: dict[str, Any], inputs: dict[str, Sequence[Any]]
) -> ir.Model:
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    return ir.from_proto(helper.make_model(graph, opset_imports=opset, ir_version=9))


def conv(x: str, y: str, weight: str = "w", **keys: Any) -> NodeProto:
    return helper.make_node("Conv", [x, weight], [y], **keys)


def kernel(out_channels: int = 1, in_channels: int = 1, size: int = 3, axes: int = 3) -> Any:
    return np.ones((out_channels, in_channels, *(size,) * axes), np.float32)


def pool(x: str, y: str, axes: int = 3) -> NodeProto:
    return helper.make_node("MaxPool", [x], [y], kernel_shape=[2] * axes, strides=[2] * axes)


def unet(channels: int = 1) -> ir.Model:
    """Four poolings, four deconvolutions, skips by Concat: multiples of 16."""
    pads = [1] * 6
    nodes = [conv("x", "c0", "w0", pads=pads)]
    weights = {
        "w0": kernel(channels),
        "same": kernel(channels, channels),
        "half": kernel(channels, 2 * channels),
        "up": kernel(channels, channels, 2),
        "last": kernel(1, channels, 1),
    }
    for level in range(4):
        nodes += [
            pool(f"c{level}", f"p{level}"),
            conv(f"p{level}", f"c{level + 1}", "same", pads=pads),
        ]
    below = "c4"
    for level in reversed(range(4)):
        nodes += [
            helper.make_node("ConvTranspose", [below, "up"], [f"u{level}"], strides=[2, 2, 2]),
            helper.make_node("Concat", [f"c{level}", f"u{level}"], [f"k{level}"], axis=1),
            conv(f"k{level}", f"e{level}", "half", pads=pads),
        ]
        below = f"e{level}"
    return model_of([*nodes, conv(below, "y", "last")], weights, {"x": VOLUME})


def smallest_conv_input(model: ir.Model, shape: tuple[int, ...]) -> int:
    network = infer_sizes(model, "m", shape)
    return min(min(n.numbers()[2:]) for n in network.nodes if n.op_type == "Conv")


def test_a_unet_of_four_poolings_is_tried_at_multiples_of_16() -> None:
    model = unet()
    sizes = choose_sizes(model, "unet.onnx")
    # At 16 the deepest convolution would see one voxel, and of its kernel only the middle tap.
    assert sizes == [
        {"x": (1, 1, 32, 48, 64)},
        {"x": (2, 1, 48, 64, 32)},
        {"x": (1, 1, 64, 32, 48)},
    ]
    assert all(smallest_conv_input(model, shape["x"]) == 2 for shape in sizes)


def test_an_expensive_unet_is_tried_at_fewer_voxels() -> None:
    """At 32×48×64 a pass would be above the limit, all the more with a batch of two."""
    sizes = choose_sizes(unet(channels=80), "unet.onnx")
    assert sizes == [
        {"x": (1, 1, 48, 32, 32)},
        {"x": (2, 1, 32, 48, 32)},
        {"x": (1, 1, 32, 32, 48)},
    ]


def test_an_any_size_network_is_tried_at_sizes_that_are_multiples_of_nothing() -> None:
    nodes = [conv("x", "a", pads=[1] * 6), helper.make_node("Relu", ["a"], ["y"])]
    sizes = choose_sizes(model_of(nodes, {"w": kernel()}, {"x": VOLUME}), "any.onnx")
    assert sizes == [{"x": (1, 1, 9, 10, 11)}, {"x": (2, 1, 10, 11, 9)}, {"x": (1, 1, 11, 9, 10)}]


def test_every_tap_meets_data() -> None:
    """Of a dilated convolution, or one behind a Pad; taps in the padding hide what is wrong."""
    nodes = [conv("x", "y", pads=[18] * 4, dilations=[18, 18])]
    weights = {"w": kernel(axes=2)}
    sizes = choose_sizes(model_of(nodes, weights, {"x": ("n", 1, "h", "w")}), "dilated.onnx")
    assert min(min(shape["x"][2:]) for shape in sizes) == 25
    nodes = [helper.make_node("Pad", ["x", "pads"], ["p"]), conv("p", "y", dilations=[18, 18])]
    weights["pads"] = np.int64([0, 0, 18, 18, 0, 0, 18, 18])
    padded = choose_sizes(model_of(nodes, weights, {"x": ("n", 1, "h", "w")}), "padded.onnx")
    assert padded == sizes


@pytest.mark.parametrize("op_type", ["InstanceNormalization", "BatchNormalization"])
def test_a_normalisation_has_some_voxels(op_type: str) -> None:
    """Four poolings leave one voxel of 17, whose spread is 0."""
    nodes = [pool("x", "p0"), pool("p0", "p1"), pool("p1", "p2"), pool("p2", "p3")]
    if op_type == "InstanceNormalization":
        nodes.append(helper.make_node(op_type, ["p3", "one", "one"], ["y"]))
    else:
        names = ["p3", "one", "one", "one", "one"]
        nodes.append(helper.make_node(op_type, names, ["y", "m", "v"], training_mode=1))
    model = model_of(nodes, {"one": np.float32([1])}, {"x": VOLUME})
    sizes = choose_sizes(model, "norm.onnx")
    assert min(prod(size // 16 for size in shape["x"][2:]) for shape in sizes) >= 8
    assert max(max(shape["x"]) for shape in sizes) < 50


def test_a_network_that_never_gets_enough_is_tried_at_small_sizes_all_the_same() -> None:
    """A norm of one voxel, as behind a global pooling, has no more at any size."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("InstanceNormalization", ["p", "one", "one"], ["y"]),
    ]
    start = time.monotonic()
    sizes = choose_sizes(model_of(nodes, {"one": np.float32([1])}, {"x": VOLUME}), "m.onnx")
    assert sizes[0] == {"x": (1, 1, 9, 10, 11)}
    assert time.monotonic() - start < 5


def classifier(shape: Sequence[Any], features: int) -> ir.Model:
    nodes = [
        conv("x", "a", pads=[1] * 4),
        pool("a", "p", axes=2),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "matrix"], ["y"]),
    ]
    weights = {"w": kernel(4, 1, axes=2), "matrix": np.ones((features, 3), np.float32)}
    return model_of(nodes, weights, {"x": shape})


def test_a_fixed_size_is_tried_three_times() -> None:
    sizes = choose_sizes(classifier((1, 1, 28, 28), 4 * 14 * 14), "fixed.onnx")
    assert sizes == [{"x": (1, 1, 28, 28)}] * 3


def test_of_a_fixed_size_with_an_open_batch_the_batch_differs() -> None:
    sizes = choose_sizes(classifier(("n", 1, 28, 28), 4 * 14 * 14), "fixed.onnx")
    assert sizes == [{"x": (n, 1, 28, 28)} for n in (1, 2, 3)]


def test_axes_that_must_fit_together_are_the_same() -> None:
    """⌊h/2⌋·⌊w/2⌋ = 196: 28 and 29 pass, so that two sizes are tried, one of them twice."""
    sizes = choose_sizes(classifier(("n", 1, "h", "w"), 4 * 14 * 14), "open.onnx")
    assert [shape["x"][2:] for shape in sizes] == [(28, 28), (29, 29), (29, 29)]


def test_other_inputs_fit_the_first() -> None:
    """Where they are of its rank they take its sizes; otherwise what the operators need."""
    inputs = {"x": VOLUME, "z": ("n", 1, "d2", "h2", "w2"), "factor": ("k",), "s": ("m", 1)}
    nodes = [
        helper.make_node("Add", ["x", "z"], ["a"]),
        conv("a", "b", pads=[1] * 6),
        helper.make_node("Mul", ["b", "factor"], ["y"]),
    ]
    model = model_of(nodes, {"w": kernel()}, inputs)
    for shapes, batch in zip(choose_sizes(model, "two.onnx"), (1, 2, 1), strict=True):
        assert list(shapes) == ["x", "z", "factor", "s"]
        assert shapes["x"] == shapes["z"]
        assert shapes["factor"] in ((shapes["x"][-1],), (1,))
        assert shapes["s"] == (batch, 1)


def test_an_input_of_half_the_size_is_found() -> None:
    inputs = {"x": ("n", 1, "l"), "z": ("n", 1, "half")}
    nodes = [pool("x", "p", axes=1), helper.make_node("Concat", ["p", "z"], ["y"], axis=1)]
    sizes = choose_sizes(model_of(nodes, {}, inputs), "half.onnx")
    assert [(s["x"][2], s["z"][2]) for s in sizes] == [(9, 4), (10, 5), (11, 5)]


def test_every_size_is_one_that_the_network_takes() -> None:
    """Channels last: the sizes are on other axes than limits are usually told of."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        conv("t", "a", pads=[1] * 4),
        helper.make_node("Transpose", ["a"], ["y"], perm=[0, 2, 3, 1]),
    ]
    model = model_of(nodes, {"w": kernel(1, 3, axes=2)}, {"x": ("n", "h", "w", 3)})
    assert choose_sizes(model, "nhwc.onnx") == [
        {"x": (1, 9, 10, 3)},
        {"x": (2, 10, 11, 3)},
        {"x": (1, 11, 9, 3)},
    ]


def test_no_size_is_an_error_that_says_why() -> None:
    nodes = [conv("x", "y")]
    model = model_of(nodes, {"w": kernel(1, 2)}, {"x": VOLUME})
    with pytest.raises(ShapeError, match=r"(?s)bad\.onnx: no size is found.*channels of the input"):
        choose_sizes(model, "bad.onnx")


def test_the_limit_is_of_a_pass() -> None:
    model = unet(channels=80)
    for shapes in choose_sizes(model, "unet.onnx"):
        network = infer_sizes(model, "unet.onnx", shapes["x"])
        flops = sum(
            2 * prod(node.outputs[0].shape or ()) * prod(node.shape(1)[1:])
            for node in network.nodes
            if node.op_type == "Conv"
        )
        assert 0 < flops <= MOST_FLOPS
