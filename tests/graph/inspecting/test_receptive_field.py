"""The receptive field of every tensor: small networks by hand, the notes' by gradient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from volunet.graph.inspecting.receptive_field import find_fields
from volunet.graph.network import infer_sizes
from volunet.graph.reading.onnx_file import read_onnx

Make = Callable[..., ir.Model]


def sizes(model: ir.Model, size: tuple[int, ...], axis: int = 2) -> dict[str, int | None]:
    fields = find_fields(infer_sizes(model, "m", size), axis)
    return {name: None if field is None else field.size for name, field in fields.items()}


def chain(make_model: Make, *kernels: int, stride: int = 1) -> ir.Model:
    nodes, weights = [], {}
    names = ["x", *(f"t{i}" for i in range(len(kernels) - 1)), "y"]
    for i, kernel in enumerate(kernels):
        weights[f"w{i}"] = np.ones((1, 1, kernel), np.float32)
        nodes.append(
            helper.make_node(
                "Conv", [names[i], f"w{i}"], [names[i + 1]], strides=[stride],
                pads=[kernel // 2, kernel // 2],
            )
        )  # fmt: skip
    return make_model(nodes, (1, 1, "l"), weights)


@pytest.mark.parametrize(
    ("kernels", "stride", "field"),
    [((3,), 1, 3), ((3, 3), 1, 5), ((3, 5, 7), 1, 13), ((3, 3, 3), 2, 15), ((7, 3), 2, 11)],
)
def test_convolutions_in_a_row(
    make_model: Make, kernels: tuple[int, ...], stride: int, field: int
) -> None:
    """1 + Σ (kernel − 1)·strides before it, https://distill.pub/2019/computing-receptive-fields."""
    assert sizes(chain(make_model, *kernels, stride=stride), (64,))["y"] == field


def test_a_small_volume_cuts_nothing_off(make_model: Make) -> None:
    assert sizes(chain(make_model, 9, 9, 9), (4,))["y"] == 25


def test_a_field_wider_than_the_first_margin(make_model: Make) -> None:
    assert sizes(chain(make_model, *[3] * 11, stride=2), (8192,))["y"] == 2**12 - 1


def test_the_way_down_and_up(two_levels: Make) -> None:
    found = sizes(two_levels(), (8, 8, 8))
    assert found == {"x": 1, "c": 3, "skip": 3, "p": 4, "up": 4, "j": 4, "y": 4}


def test_every_slice_has_its_interval(two_levels: Make) -> None:
    fields = find_fields(infer_sizes(two_levels(), "m", (8, 8, 8)), 3)
    field = fields["y"]
    assert field is not None
    # Slice 4 is joined of the skip's 3…5 and of pool 2, which saw 3…6; slice 5 of 4…6 and 3…6.
    assert [field.interval(z) for z in (4, 5)] == [(3, 7), (3, 7)]
    assert field.interval(0) == (-1, 3)


def test_a_global_operator_depends_on_the_whole_axis(make_model: Make) -> None:
    nodes = [
        helper.make_node("InstanceNormalization", ["x", "s", "b"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    one = np.ones(1, np.float32)
    model = make_model(nodes, (1, 1, "l"), {"s": one, "b": one})
    assert sizes(model, (8,)) == {"x": 1, "n": None, "y": None}


def test_other_axes_are_not_mixed_up(make_model: Make) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[5, 1], pads=[2, 0, 2, 0]),
        helper.make_node("Transpose", ["c"], ["y"], perm=[0, 1, 3, 2]),
    ]
    model = make_model(nodes, (1, 1, "h", "w"), {"w": np.ones((1, 1, 5, 1), np.float32)})
    fields = find_fields(infer_sizes(model, "m", (9, 9)), 2)
    assert fields["y"] is not None
    assert (fields["y"].axis, fields["y"].size) == (3, 5)
    assert sizes(model, (9, 9), axis=3)["y"] == 1


def test_a_dilated_transposed_convolution_leaves_every_second_slice_empty(make_model: Make) -> None:
    nodes = [
        helper.make_node(
            "ConvTranspose", ["x", "w"], ["y"], strides=[2], dilations=[2], pads=[1, 1],
            output_padding=[1],
        )
    ]  # fmt: skip
    model = make_model(nodes, (1, 1, "l"), {"w": np.ones((1, 1, 2), np.float32)})
    field = find_fields(infer_sizes(model, "m", (8,)), 2)["y"]
    assert field is not None
    assert [field.interval(z) for z in range(4)] == [(0, 0), (0, 2), (0, 0), (1, 3)]


def test_parts_side_by_side_on_the_axis(make_model: Make) -> None:
    """Joined along the axis, each slice depends on one part only."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1]),
        helper.make_node("Concat", ["x", "c"], ["y"], axis=2),
    ]
    model = make_model(nodes, (1, 1, "l"), {"w": np.ones((1, 1, 3), np.float32)})
    field = find_fields(infer_sizes(model, "m", (8,)), 2)["y"]
    assert field is not None
    assert [field.interval(z) for z in (0, 7, 8, 10)] == [(0, 1), (7, 8), (-1, 2), (1, 4)]


def test_the_notes_network_against_the_gradient(reference_folder: Path) -> None:
    """Every phase of the output: the support of the gradient, exactly.

    Max poolings are averages for the gradient, since a maximum's shows one voxel of its window, and
    weights are positive, so that nothing cancels.
    """
    torch = pytest.importorskip("torch", reason="needs the extra 'train'")
    from volunet.nets import load_notes_weights

    length = 448
    model = read_onnx(reference_folder / "notes_unet3d_small_eval.onnx")
    network = infer_sizes(model, "notes", (length, 16, 16))
    field = find_fields(network, 2)[network.outputs[0].name]
    assert field is not None
    assert field.size == 220

    net = load_notes_weights(reference_folder / "notes_unet3d_small.pt").eval()
    with torch.no_grad():
        for place in range(len(net.pools)):
            net.pools[place] = torch.nn.AvgPool3d(2)
        for parameter in net.parameters():
            parameter.abs_().clamp_(0.01, 0.1)
    x = torch.rand(1, 1, length, 16, 16).requires_grad_()
    answer = net(x)
    for z in (0, *range(224, 240), length - 1):
        (gradient,) = torch.autograd.grad(answer[0, 0, z].sum(), x, retain_graph=True)
        moved = torch.nonzero(gradient.abs().sum((0, 1, 3, 4))).flatten()
        start, stop = field.interval(z)
        support = (int(moved[0]), int(moved[-1]) + 1)
        assert support == (max(start, 0), min(stop, length)), z


@pytest.mark.parametrize("length", [16, 24, 64, 512])
def test_a_small_volume_cuts_nothing_off_behind_a_resize(make_model: Make, length: int) -> None:
    nodes, name = [], "x"
    for i in range(3):
        nodes += [
            helper.make_node("MaxPool", [name], [f"p{i}"], kernel_shape=[2], strides=[2]),
            helper.make_node("Resize", [f"p{i}", "", "s"], [f"u{i}"], mode="linear"),
            helper.make_node("Conv", [f"u{i}", "w"], [f"c{i}"], pads=[1, 1]),
        ]
        name = f"c{i}"
    nodes.append(helper.make_node("Relu", [name], ["y"]))
    weights = {"s": np.array([1, 1, 2], np.float32), "w": np.ones((1, 1, 3), np.float32)}
    # Three slices of an enlarged axis are of three pooled ones, six of the input; 4 more a stage.
    assert sizes(make_model(nodes, (1, 1, "l"), weights), (length,))["y"] == 6 + 4 + 4


def test_padding_by_wrapping_is_as_any_padding(make_model: Make) -> None:
    nodes = [
        helper.make_node("Pad", ["x", "p"], ["q"], mode="wrap"),
        helper.make_node("Conv", ["q", "w"], ["y"]),
    ]
    weights = {"p": np.array([0, 0, 1, 0, 0, 1]), "w": np.ones((1, 1, 3), np.float32)}
    assert sizes(make_model(nodes, (1, 1, "l"), weights, opset=19), (64,))["y"] == 3
