"""The model of memory: what is alive when, in place, copied and computed in besides.

How near it is to measured peaks is benchmarks/inspection's to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from volunet.graph.inspecting import memory
from volunet.graph.inspecting.memory import ENGINE_MEMORY, EngineMemory, predict_peak, weight_bytes
from volunet.graph.network import infer_sizes
from volunet.graph.reading.onnx_file import read_onnx

Make = Callable[..., ir.Model]

BARE = EngineMemory(
    weight_copies=0.0,
    base_bytes=0,
    in_place=frozenset({"activation"}),
    views=frozenset({"Reshape"}),
    input_copies=0,
    output_copies=0,
    keeps_scratch=False,
)
VOXELS = 8 * 8 * 8
FLOAT = 4


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Callable[[ir.Model, EngineMemory], int | None]:
    """Predict with an engine of the test's own, at 8×8×8."""

    def predict(model: ir.Model, rules: EngineMemory = BARE) -> int | None:
        monkeypatch.setitem(memory.ENGINE_MEMORY, "bare", rules)
        return predict_peak(infer_sizes(model, "m", (8, 8, 8)), "bare")

    return predict


def test_the_peak_is_where_the_most_is_alive(two_levels: Make, bare: Callable) -> None:
    # While joining: skip (4 channels), up (4) and the joined (8); the pooled is let go before.
    assert bare(two_levels()) == (4 + 4 + 8) * VOXELS * FLOAT


def test_an_operator_in_place_costs_nothing(two_levels: Make, bare: Callable) -> None:
    everything = replace(BARE, in_place=frozenset())
    # The convolution's answer and its rectified copy are 8 channels: less than while joining.
    assert bare(two_levels(), everything) == bare(two_levels(), BARE)


def test_in_place_only_where_nothing_else_reads(make_model: Make, bare: Callable) -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    assert bare(make_model(nodes, (1, 1, 8, 8, 8))) == 3 * VOXELS * FLOAT
    chain = [nodes[0], helper.make_node("Relu", ["a"], ["y"])]
    assert bare(make_model(chain, (1, 1, 8, 8, 8))) == VOXELS * FLOAT


def test_views_share_their_inputs_memory(make_model: Make, bare: Callable) -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Reshape", ["a", "s"], ["b"]),
        helper.make_node("Neg", ["b"], ["y"]),
    ]
    model = make_model(nodes, (1, 1, 8, 8, 8), {"s": np.array([1, 512])})
    assert bare(model) == 2 * VOXELS * FLOAT
    assert bare(model, replace(BARE, views=frozenset())) == 2 * VOXELS * FLOAT


def test_weights_copies_and_the_base_are_added(two_levels: Make, bare: Callable) -> None:
    model = two_levels()
    elements = 4 * 27 + 4 + 4 * 4 * 8 + 2 * 8
    assert weight_bytes(infer_sizes(model, "m")) == elements * FLOAT
    rules = replace(BARE, weight_copies=2.5, base_bytes=1000, input_copies=2, output_copies=1)
    extra = int(2.5 * elements * FLOAT) + 1000 + (2 * 1 + 1 * 2) * VOXELS * FLOAT
    assert bare(model, rules) == bare(model) + extra


def test_columns_of_a_dilated_transposed_convolution(make_model: Make) -> None:
    def model(dilation: int) -> ir.Model:
        keys = {"strides": [2] * 3, "dilations": [dilation] * 3, "kernel_shape": [2] * 3}
        node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], **keys)
        weights = {"w": np.zeros((1, 4, 2, 2, 2), np.float32)}
        return make_model([node], (1, 1, 8, 8, 8), weights)

    plain = predict_peak(infer_sizes(model(1), "m", (8, 8, 8)), "openvino")
    dilated = predict_peak(infer_sizes(model(2), "m", (8, 8, 8)), "openvino")
    assert plain is not None
    assert dilated is not None
    # A column for each of 8 taps, 4 channels and 512 voxels, and the accumulated output of 17³;
    # the output itself is larger too (17³ for 16³), once in the engine and twice as a copy.
    columns = 8 * 4 * 512 * FLOAT
    output = 4 * 17**3 * FLOAT
    assert dilated - plain == columns + output + 3 * (output - 4 * 16**3 * FLOAT)


def test_unknown_sizes_have_no_peak(two_levels: Make) -> None:
    model = two_levels()
    assert predict_peak(infer_sizes(model, "m"), "openvino") is None
    assert predict_peak(infer_sizes(model, "m", (8, 7, 8)), "openvino") is None


@pytest.mark.parametrize("engine", ENGINE_MEMORY)
def test_the_peak_grows_with_the_volume(tiny_onnx: Path, engine: str) -> None:
    """Linearly, once weights and base are taken off.

    PyTorch's does not: for the smaller volume it takes another convolution.
    """
    model = read_onnx(tiny_onnx)
    one, two = (predict_peak(infer_sizes(model, "m", (32, 32, d)), engine) for d in (32, 64))
    assert one is not None
    assert two is not None
    own = ENGINE_MEMORY[engine]
    fixed = own.base_bytes + int(own.weight_copies * weight_bytes(infer_sizes(model, "m")))
    assert (two - fixed) == pytest.approx(2 * (one - fixed), rel=1e-3 if engine != "torch" else 0.5)


def torch_channels(tiny_onnx: Path, size: tuple[int, int, int]) -> float:
    """What the model says of PyTorch's tensors, in channels of the input's size."""
    network = infer_sizes(read_onnx(tiny_onnx), "m", size)
    own = ENGINE_MEMORY["torch"]
    peak = predict_peak(network, "torch")
    assert peak is not None
    tensors = peak - own.base_bytes - int(own.weight_copies * weight_bytes(network))
    return tensors / FLOAT / (size[0] * size[1] * size[2])


def test_pytorch_holds_what_unet3ds_forward_holds(tiny_onnx: Path) -> None:
    """At the top decoder: the skips (4, and 8 at an eighth), what is joined beside them (4), the
    joined (8), a convolution's input and output (4 + 4), and its input in oneDNN's layout (4)."""
    channels = torch_channels(tiny_onnx, (192, 128, 64))
    assert channels == pytest.approx(4 + 1 + 4 + 8 + 4 + 4 + 4)


def test_pytorch_unfolds_what_is_too_small_for_onednn(tiny_onnx: Path) -> None:
    """4·64·64 lines are fewer than 20480: 27 taps of 4 channels instead of a copy."""
    assert torch_channels(tiny_onnx, (64, 64, 64)) == pytest.approx(4 + 1 + 4 + 8 + 4 + 4 + 27 * 4)


def test_pytorch_lets_go_of_a_members_skips_with_its_forward(make_model: Make) -> None:
    """Of an ensemble each member costs its answer, which waits to be averaged, and no skip."""

    def tensors(members: int) -> float:
        nodes, weights = [], {}
        for number in range(members):
            own = f"network.members.{number}"
            names = {part: f"{part}{number}" for part in ("skip", "p", "up", "j", "answer")}
            parts = ("encoders.0", "upsamplings.0", "decoders.0")
            top, bottom, back = (f"{own}.{part}.w" for part in parts)
            nodes += [
                helper.make_node("Conv", ["x", top], [names["skip"]], pads=[1] * 6),
                helper.make_node("MaxPool", [names["skip"]], [names["p"]], kernel_shape=[2] * 3,
                                 strides=[2] * 3),
                helper.make_node("ConvTranspose", [names["p"], bottom], [names["up"]],
                                 strides=[2] * 3),
                helper.make_node("Concat", [names["skip"], names["up"]], [names["j"]], axis=1),
                helper.make_node("Conv", [names["j"], back], [names["answer"]], pads=[1] * 6),
            ]  # fmt: skip
            weights[top] = np.zeros((16, 1, 3, 3, 3), np.float32)
            weights[bottom] = np.zeros((16, 16, 2, 2, 2), np.float32)
            weights[back] = np.zeros((1, 32, 3, 3, 3), np.float32)
        answers = [f"answer{number}" for number in range(members)]
        nodes.append(helper.make_node("Sum", answers, ["y"]))
        size = (192, 128, 64)
        network = infer_sizes(make_model(nodes, (1, 1, "d", "h", "w"), weights), "m", size)
        own_rules = ENGINE_MEMORY["torch"]
        peak = predict_peak(network, "torch")
        assert peak is not None
        held = peak - own_rules.base_bytes - int(own_rules.weight_copies * weight_bytes(network))
        return held / FLOAT / (192 * 128 * 64)

    one, three = tensors(1), tensors(3)
    # The skip, what comes up, both joined, that in oneDNN's layout and the answer.
    assert one == pytest.approx(16 + 16 + 32 + 32 + 1)
    assert three == pytest.approx(one + 2)
