"""What exporters spread over several operators is one layer again, and nothing else is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from volunet.graph import infer_sizes
from volunet.reversing.reading.constants import Constants
from volunet.reversing.reading.idioms import joined
from volunet.reversing.reading.layers import Layer
from volunet.reversing.reading.nodes import Reading, read_layers
from volunet.reversing.reading.ordering import in_order
from volunet.reversing.writing.source import write_source
from volunet.reversing.writing.weights import state_of

Size = Sequence[int | str]

RNG = np.random.default_rng(0)


def node(op: str, reads: str, makes: str, **keys: object) -> onnx.NodeProto:
    return helper.make_node(op, reads.split(), makes.split(), name=f"to_{makes}", **keys)


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """A graph from ``x`` to ``y``.

    Attributes:
        nodes: Its nodes.
        size: Sizes of ``x``.
        weights: Its constants.
        layers: What is left: modules or calls, with their slots.
        inner: A tensor that the idiom does not let anyone else read; empty where there is none.
        near: Constants that make it something else.
        opset: Version of the operators.
    """

    nodes: Sequence[onnx.NodeProto]
    size: Size
    layers: Sequence[tuple[str, tuple[Any, ...]]]
    weights: dict[str, Any] = field(default_factory=dict)
    inner: str = ""
    near: dict[str, Any] = field(default_factory=dict)
    opset: int = 18


IMAGE: Size = ("n", 4, "h", "w")
ROWS: Size = ("n", 7, 4)
FLOAT = np.float32

GATES = {
    "silu": Case(
        [node("Sigmoid", "x", "s"), node("Mul", "x s", "y")], IMAGE, [("nn.SiLU", ())], inner="s"
    ),
    "silu the other way round": Case(
        [node("Sigmoid", "x", "s"), node("Mul", "s x", "y")], IMAGE, [("nn.SiLU", ())], inner="s"
    ),
    "hard sigmoid": Case(
        [node("HardSigmoid", "x", "y", alpha=1 / 6, beta=0.5)], IMAGE, [("nn.Hardsigmoid", ())]
    ),
    "hard swish by hard sigmoid": Case(
        [node("HardSigmoid", "x", "s", alpha=1 / 6, beta=0.5), node("Mul", "x s", "y")],
        IMAGE,
        [("nn.Hardswish", ())],
        inner="s",
    ),
    "hard swish by clip": Case(
        [
            node("Add", "x three", "a"),
            node("Clip", "a zero six", "c"),
            node("Mul", "x c", "p"),
            node("Div", "p sixth", "y"),
        ],
        IMAGE,
        [("nn.Hardswish", ())],
        {"three": FLOAT(3), "zero": FLOAT(0), "six": FLOAT(6), "sixth": FLOAT(6)},
        inner="c",
        near={"sixth": FLOAT(6.001)},
    ),
    "hard sigmoid by clip": Case(
        [node("Add", "x three", "a"), node("Clip", "a zero six", "c"), node("Div", "c six", "y")],
        IMAGE,
        [("nn.Hardsigmoid", ())],
        {"three": FLOAT(3), "zero": FLOAT(0), "six": FLOAT(6)},
        inner="a",
        near={"three": FLOAT(2.999)},
    ),
    "relu6": Case(
        [node("Clip", "x zero six", "y")],
        IMAGE,
        [("nn.ReLU6", ())],
        {"zero": FLOAT(0), "six": FLOAT(6)},
        near={"six": FLOAT(6.0001)},
    ),
    "gelu": Case(
        [
            node("Div", "x root", "d"),
            node("Erf", "d", "e"),
            node("Add", "e one", "a"),
            node("Mul", "x a", "m"),
            node("Mul", "m half", "y"),
        ],
        IMAGE,
        [("nn.GELU", ())],
        {"root": FLOAT(math.sqrt(2)), "one": FLOAT(1), "half": FLOAT(0.5)},
        inner="a",
        near={"half": FLOAT(0.5001)},
    ),
    "gelu with a half in front": Case(
        [
            node("Mul", "x root", "d"),
            node("Erf", "d", "e"),
            node("Add", "one e", "a"),
            node("Mul", "half x", "h"),
            node("Mul", "h a", "y"),
        ],
        IMAGE,
        [("nn.GELU", ())],
        {"root": FLOAT(math.sqrt(0.5)), "one": FLOAT(1), "half": FLOAT(0.5)},
        inner="h",
        near={"root": FLOAT(0.7072)},
    ),
    "gelu by tanh": Case(
        [
            node("Pow", "x three", "c"),
            node("Mul", "c small", "s"),
            node("Add", "x s", "t"),
            node("Mul", "t root", "u"),
            node("Tanh", "u", "h"),
            node("Add", "h one", "a"),
            node("Mul", "x half", "b"),
            node("Mul", "b a", "y"),
        ],
        IMAGE,
        [("nn.GELU", ())],
        {
            "three": FLOAT(3), "small": FLOAT(0.044715), "one": FLOAT(1), "half": FLOAT(0.5),
            "root": FLOAT(math.sqrt(2 / math.pi)),
        },
        inner="c",
        near={"small": FLOAT(0.0447)},
    ),
    "mish": Case(
        [node("Softplus", "x", "p"), node("Tanh", "p", "t"), node("Mul", "x t", "y")],
        IMAGE,
        [("nn.Mish", ())],
        inner="t",
    ),
}  # fmt: skip


def group_norm(groups: int, scale: Any = None, *, affine: bool = True) -> list[onnx.NodeProto]:
    nodes = [
        node("Reshape", "x grouped", "r"),
        node("InstanceNormalization", "r ones zeros", "i", epsilon=1e-3),
        node("Shape", "x", "s"),
        node("Reshape", "i s", "b" if affine else "y"),
    ]
    return [*nodes, node("Mul", "b w", "m"), node("Add", "m v", "y")] if affine else nodes


def group_weights(groups: int, channels: int = 4) -> dict[str, Any]:
    return {
        "grouped": np.array([0, groups, -1]),
        "ones": np.ones(groups, FLOAT),
        "zeros": np.zeros(groups, FLOAT),
        "w": normal(channels, 1, 1),
        "v": normal(channels, 1, 1),
    }


LAYER_NORM = [
    node("ReduceMean", "x axes", "m"),
    node("Sub", "x m", "d"),
    node("Pow", "d two", "q"),
    node("ReduceMean", "q axes", "v"),
    node("Add", "v eps", "a"),
    node("Sqrt", "a", "r"),
    node("Div", "d r", "z"),
    node("Mul", "z w", "p"),
    node("Add", "p b", "y"),
]

LAYER_NORM_WEIGHTS = {
    "axes": np.array([-1]), "two": FLOAT(2), "eps": FLOAT(1e-6), "w": normal(4), "b": normal(4),
}  # fmt: skip

NORMS = {
    "group norm": Case(
        group_norm(2),
        IMAGE,
        [("nn.GroupNorm", (2, 4, 1e-3, True))],
        group_weights(2),
        inner="b",
        near={"ones": np.array([1, 0.999], FLOAT)},
    ),
    "group norm of single channels": Case(
        group_norm(4),
        IMAGE,
        [("nn.GroupNorm", (4, 4, 1e-3, True))],
        group_weights(4),
        inner="r",
    ),
    "group norm without weights": Case(
        group_norm(2, affine=False),
        IMAGE,
        [("nn.GroupNorm", (2, 4, 1e-3, False))],
        group_weights(2),
        inner="i",
        near={"zeros": np.array([0, 1e-3], FLOAT)},
    ),
    "instance norm between reshapes": Case(
        group_norm(4, affine=False),
        IMAGE,
        [("nn.InstanceNorm2d", (4, 1e-3, True))],
        group_weights(4) | {"ones": normal(4), "zeros": normal(4)},
        inner="i",
    ),
    "layer norm": Case(
        LAYER_NORM,
        ROWS,
        [("nn.LayerNorm", (4, 1e-6, True, True))],
        LAYER_NORM_WEIGHTS,
        inner="d",
    ),
    "layer norm without weights": Case(
        [*LAYER_NORM[:6], node("Div", "d r", "y")],
        ROWS,
        [("nn.LayerNorm", (4, 1e-6, False, True))],
        LAYER_NORM_WEIGHTS,
        inner="q",
        near={"two": FLOAT(3)},
    ),
    "layer norm of two axes": Case(
        [*LAYER_NORM[:6], node("Div", "d r", "y")],
        ROWS,
        [("nn.LayerNorm", ((7, 4), 1e-6, False, True))],
        LAYER_NORM_WEIGHTS | {"axes": np.array([1, 2])},
        inner="v",
        near={"axes": np.array([1])},
    ),
    "local response norm": Case(
        [
            node("Mul", "x x", "q"),
            node("Unsqueeze", "q axis", "u"),
            node("Pad", "u pads", "p"),
            node("AveragePool", "p", "a", kernel_shape=[5, 1, 1], strides=[1, 1, 1]),
            node("Squeeze", "a axis", "s"),
            node("Mul", "s alpha", "m"),
            node("Add", "m k", "t"),
            node("Pow", "t beta", "d"),
            node("Div", "x d", "y"),
        ],
        IMAGE,
        [("nn.LocalResponseNorm", (5, 1e-3, 0.75, 2))],
        {
            "axis": np.array([1]), "pads": np.array([0, 0, 2, 0, 0, 0, 0, 2, 0, 0]),
            "alpha": FLOAT(1e-3), "k": FLOAT(2), "beta": FLOAT(0.75),
        },
        inner="m",
        near={"pads": np.array([0, 0, 1, 0, 0, 0, 0, 3, 0, 0])},
    ),
}  # fmt: skip

CONV_3 = (1, 1, 0, 1, 1, False)

OTHERS = {
    "linear": Case(
        [node("MatMul", "x w", "m"), node("Add", "m b", "y")],
        ROWS,
        [("nn.Linear", (4, 3, True))],
        {"w": normal(4, 3), "b": normal(3)},
        inner="m",
        near={"b": normal(7, 3)},
    ),
    "linear of one number": Case(
        [node("MatMul", "x w", "m"), node("Add", "b m", "y")],
        ROWS,
        [("nn.Linear", (4, 1, True))],
        {"w": normal(4, 1), "b": normal(1)},
        inner="m",
    ),
    "bias behind a convolution": Case(
        [node("Conv", "x w", "m"), node("Add", "m b", "y")],
        IMAGE,
        [("nn.Conv2d", (4, 3, 1, 1, 0, 1, 1, True))],
        {"w": normal(3, 4, 1, 1), "b": normal(3, 1, 1)},
        inner="m",
        near={"b": normal(1, 3, 1, 1) * np.ones((2, 1, 1, 1), FLOAT)},
    ),
    "padding of a convolution": Case(
        [node("Pad", "x pads", "p"), node("Conv", "p w", "y")],
        IMAGE,
        [("nn.Conv2d", (4, 3, 3, 1, (1, 2), 1, 1, False))],
        {"w": normal(3, 4, 3, 3), "pads": np.array([0, 0, 1, 2, 0, 0, 1, 2])},
        inner="p",
        near={"pads": np.array([0, 1, 1, 1, 0, -1, 1, 1])},
    ),
    "padding of a convolution that pads": Case(
        [node("Pad", "x pads", "p"), node("Conv", "p w", "y", pads=[1, 1, 1, 1])],
        IMAGE,
        [("nn.Conv2d", (4, 3, 3, 1, 2, 1, 1, False))],
        {"w": normal(3, 4, 3, 3), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        inner="p",
    ),
    "padding that differs front and back": Case(
        [node("Pad", "x pads", "p"), node("Conv", "p w", "y")],
        IMAGE,
        [("{module}(F.pad({0}, {=8}))", (4, 3, 3, 1, 0, 1, 1, False, (0, 1, 0, 1)))],
        {"w": normal(3, 4, 3, 3), "pads": np.array([0, 0, 0, 0, 0, 0, 1, 1])},
        inner="p",
    ),
    "padding of an average that counts it": Case(
        [
            node("Pad", "x pads", "p"),
            node("AveragePool", "p", "y", kernel_shape=[3, 3], strides=[2, 2]),
        ],
        IMAGE,
        [("nn.AvgPool2d", (3, 2, 1, False, True))],
        {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        inner="p",
        near={"pads": np.array([0, 0, 2, 2, 0, 0, 2, 2])},
    ),
    "padding of a maximum": Case(
        [
            node("Pad", "x pads low", "p"),
            node("MaxPool", "p", "y", kernel_shape=[3, 3], strides=[2, 2]),
        ],
        IMAGE,
        [("nn.MaxPool2d", (3, 2, 1, 1, False))],
        {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "low": FLOAT(-np.inf)},
        inner="p",
        near={"low": FLOAT(0)},
    ),
    "paddings in a row": Case(
        [node("Pad", "x one", "p"), node("Pad", "p two", "y")],
        IMAGE,
        [("F.pad({0}, {=0})", ((0, 3, 1, 0),))],
        {"one": np.array([0, 0, 1, 0, 0, 0, 0, 1]), "two": np.array([0] * 7 + [2])},
        inner="p",
    ),
    "slices in a row": Case(
        [
            node("Slice", "x zero two axis2", "p"),
            node("Slice", "p one three axis3", "y"),
        ],
        IMAGE,
        [("{0}[:, :, :{=0}, {=1}:{=2}]", (2, 1, 3))],
        {
            "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]),
            "three": np.array([3]), "axis2": np.array([2]), "axis3": np.array([3]),
        },
        inner="p",
        near={"axis3": np.array([2])},
    ),
    "mean of all voxels": Case(
        [node("ReduceMean", "x axes", "y")],
        IMAGE,
        [("nn.AdaptiveAvgPool2d", (1,))],
        {"axes": np.array([2, 3])},
        near={"axes": np.array([1, 2])},
    ),
    "mean of all voxels by way of two axes": Case(
        [
            node("Unsqueeze", "x two", "u"),
            node("ReduceMean", "u axes", "m"),
            node("Squeeze", "m two", "y"),
        ],
        ("n", 4, "l"),
        [("nn.AdaptiveAvgPool1d", (1,))],
        {"two": np.array([2]), "axes": np.array([2, 3])},
        inner="u",
    ),
    "axes behind": Case(
        [node("Reshape", "x shape", "y")],
        (2, 4),
        [("{0}[:, :, None, None]", ())],
        {"shape": np.array([2, 4, 1, 1])},
        near={"shape": np.array([2, 1, 4, 1])},
    ),
    "transpositions that add up": Case(
        [
            node("Transpose", "x", "t", perm=[0, 2, 3, 1]),
            node("Transpose", "t", "y", perm=[0, 3, 2, 1]),
        ],
        IMAGE,
        [("{0}.permute({=0}, {=1}, {=2}, {=3})", (0, 1, 3, 2))],
        inner="t",
    ),
    "transpositions that cancel": Case(
        [
            node("Transpose", "x", "t", perm=[0, 2, 3, 1]),
            node("Transpose", "t", "b", perm=[0, 3, 1, 2]),
            node("Relu", "b", "y"),
        ],
        IMAGE,
        [("nn.ReLU", ())],
    ),
    "axes that come and go": Case(
        [node("Unsqueeze", "x zero", "u"), node("Squeeze", "u zero", "s"), node("Relu", "s", "y")],
        IMAGE,
        [("nn.ReLU", ())],
        {"zero": np.array([0])},
    ),
    "axes behind that go again": Case(
        [
            node("Unsqueeze", "x last", "u"),
            node("Squeeze", "u last", "s"),
            node("Relu", "s", "y"),
        ],
        IMAGE,
        [("nn.ReLU", ())],
        {"last": np.array([4])},
    ),
    "sum that leaves its axis out": Case(
        [node("ReduceSum", "x axes", "y", keepdims=0)],
        IMAGE,
        [("torch.sum({0}, dim={=0})", (1,))],
        {"axes": np.array([1])},
    ),
    "shuffle of channels": Case(
        [
            node("Reshape", "x apart", "r"),
            node("Transpose", "r", "t", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "t together", "y"),
        ],
        (2, 6, 5, 3),
        [
            ("{0}.unflatten({=0}, {=1})", (1, (2, -1))),
            ("{0}.permute({=0}, {=1}, {=2}, {=3}, {=4})", (0, 2, 1, 3, 4)),
            ("{0}.flatten({=0}, {=1})", (1, 2)),
        ],
        {"apart": np.array([2, 2, 3, 5, 3]), "together": np.array([2, 6, 5, 3])},
    ),
    "split into halves": Case(
        [node("Split", "x sizes", "a b", axis=1), node("Mul", "a b", "y")],
        IMAGE,
        [
            ("torch.chunk({0}, {=0}, dim={=1})", (2, 1)),
            ("{0}[{=0}]", (0,)),
            ("{0}[{=0}]", (1,)),
            ("{0} * {1}", ()),
        ],
        {"sizes": np.array([2, 2])},
    ),
    "halves by an index each": Case(
        [
            node("Slice", "x zero two one", "a"),
            node("Slice", "x two end one", "b"),
            node("Mul", "a b", "y"),
        ],
        IMAGE,
        [
            ("torch.chunk({0}, {=0}, dim={=1})", (2, 1)),
            ("{0}[{=0}]", (0,)),
            ("{0}[{=0}]", (1,)),
            ("{0} * {1}", ()),
        ],
        {
            "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]),
            "end": np.array([2**62]),
        },
    ),
    "expansion to the same size": Case(
        [
            node("Expand", "x ones", "e"),
            node("Tile", "e times", "t"),
            node("Relu", "t", "y"),
        ],
        IMAGE,
        [("{0}.repeat({=0}, {=1}, {=2}, {=3})", (1, 2, 1, 1)), ("nn.ReLU", ())],
        {"ones": np.array([1, 1, 1, 1]), "times": np.array([1, 2, 1, 1])},
    ),
}  # fmt: skip

CASES = GATES | NORMS | OTHERS


def proto_of(case: Case, outputs: Sequence[str] = ("y",)) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(case.nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(case.size))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in case.weights.items()],
    )
    opsets = [helper.make_opsetid("", case.opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def readings(proto: onnx.ModelProto) -> tuple[Reading, Reading, Constants]:
    """A model's layers as they are in the file, and with idioms joined."""
    model = ir.from_proto(proto)
    network = infer_sizes(model, "model.onnx")
    constants = Constants(model, network)
    before = read_layers(network, model, constants)
    return before, joined(before, constants), constants


def told(layers: Sequence[Layer]) -> list[tuple[str, tuple[Any, ...]]]:
    return [(y.form.module if y.form.is_module else y.form.call, y.slots) for y in layers]


@pytest.mark.parametrize("name", CASES)
def test_an_idiom_is_one_layer(name: str) -> None:
    case = CASES[name]
    _, reading, _ = readings(proto_of(case))
    found = told(in_order(reading.layers, reading.outputs))
    assert found == [(kind, tuple(map(pytest.approx, slots))) for kind, slots in case.layers]
    assert len(reading.layers) == len(case.layers)  # what it replaces is gone


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.inner])
def test_an_idiom_stays_spread_where_others_read_in_between(name: str) -> None:
    case = CASES[name]
    before, reading, _ = readings(proto_of(case, ("y", case.inner)))
    assert case.inner in reading.outputs
    assert told(reading.layers) != case.layers
    last = {layer.output: layer for layer in reading.layers}["y"]
    if last.form.module != "nn.Parameter":
        assert told([last])[0] not in case.layers
    assert {layer.output for layer in before.layers} >= {layer.output for layer in reading.layers}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.near])
def test_an_idiom_stays_spread_where_a_constant_is_another(name: str) -> None:
    case = CASES[name]
    near = Case(case.nodes, case.size, case.layers, case.weights | case.near, opset=case.opset)
    _, reading, _ = readings(proto_of(near))
    assert {kind for kind, _ in case.layers}.isdisjoint(
        kind for kind, slots in told(reading.layers) if (kind, slots) in case.layers
    )


@pytest.mark.parametrize("name", CASES)
def test_the_layer_computes_the_same(name: str) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra 'train'")
    onnxruntime = pytest.importorskip("onnxruntime")
    case = CASES[name]
    proto = proto_of(case)
    _, reading, constants = readings(proto)
    written = write_source(reading, "net.safetensors")
    space: dict[str, Any] = {}
    exec(compile(written.source, "net.py", "exec"), space)  # noqa: S102 - our own source
    network = space["build"]().eval()
    state = state_of(written.paths, constants)
    network.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    sizes = {"n": 2, "h": 5, "w": 6, "l": 9}
    x = np.random.default_rng(1).normal(
        scale=3, size=[sizes.get(str(size), size) for size in case.size]
    ).astype(FLOAT)  # fmt: skip
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    (expected,) = session.run(None, {"x": x})
    with torch.no_grad():
        answer = network(torch.from_numpy(x)).numpy()
    assert answer.shape == expected.shape
    np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-5)  # two orders of sums


def test_a_norm_takes_its_weights_from_the_product_and_the_sum() -> None:
    _, reading, constants = readings(proto_of(CASES["group norm"]))
    (layer,) = reading.layers
    state = state_of([("norm", layer)], constants)
    np.testing.assert_array_equal(state["norm.weight"], CASES["group norm"].weights["w"].ravel())
    np.testing.assert_array_equal(state["norm.bias"], CASES["group norm"].weights["v"].ravel())


def test_a_group_norm_with_a_scale_alone_has_a_bias_of_zeros() -> None:
    case = CASES["group norm"]
    nodes = [*case.nodes[:-2], node("Mul", "b w", "y")]
    _, reading, constants = readings(proto_of(Case(nodes, IMAGE, (), case.weights)))
    assert told(reading.layers) == [("nn.GroupNorm", (2, 4, pytest.approx(1e-3), True))]
    state = state_of([("norm", reading.layers[0])], constants)
    np.testing.assert_array_equal(state["norm.bias"], np.zeros(4))


def test_a_norm_over_channels_first_stays_as_it_is_written() -> None:
    case = CASES["layer norm without weights"]
    weights = case.weights | {"axes": np.array([1])}
    before, reading, _ = readings(proto_of(Case(case.nodes, ROWS, (), weights)))
    calls = [layer.form.call for layer in before.layers]
    assert [layer.form.call for layer in reading.layers] == calls


def test_a_mean_that_is_subtracted_is_no_pooling() -> None:
    nodes = [node("ReduceMean", "x axes", "m"), node("Sub", "x m", "y")]
    _, reading, _ = readings(proto_of(Case(nodes, IMAGE, (), {"axes": np.array([2, 3])})))
    assert [layer.form.call for layer in reading.layers][1] == "{0} - {1}"
    assert not any(layer.form.module for layer in reading.layers)


def test_half_of_the_channels_alone_is_an_index() -> None:
    weights = {"zero": np.array([0]), "one": np.array([1]), "two": np.array([2])}
    nodes = [node("Slice", "x zero two one", "a"), node("Relu", "a", "y")]
    _, reading, _ = readings(proto_of(Case(nodes, IMAGE, (), weights)))
    assert told(reading.layers) == [("{0}[:, :{=0}]", (2,)), ("nn.ReLU", ())]


def test_a_sum_with_a_tensor_of_data_is_no_bias() -> None:
    nodes = [node("MatMul", "x w", "m"), node("Add", "m x", "y")]
    _, reading, _ = readings(proto_of(Case(nodes, ROWS, (), {"w": normal(4, 4)})))
    assert told(reading.layers) == [("nn.Linear", (4, 4, False)), ("{0} + {1}", ())]


def cropped(half: str = "two") -> Case:
    """A skip cut to the middle at the size of what comes up, as the U-Net of 2015 does it."""
    sizes = []
    for axis in (2, 3):
        index = f"axis{axis}"
        sizes += [
            node("Shape", "x", f"sx{axis}"),
            node("Gather", f"sx{axis} {index}", f"gx{axis}"),
            node("Shape", "up", f"su{axis}"),
            node("Gather", f"su{axis} {index}", f"gu{axis}"),
            node("Sub", f"gx{axis} gu{axis}", f"d{axis}"),
            node("Div", f"d{axis} {half}", f"b{axis}"),
            node("Add", f"b{axis} gu{axis}", f"e{axis}"),
        ]
    nodes = [
        node("Conv", "x w", "deep", strides=[2, 2]),
        node("ConvTranspose", "deep t", "up", strides=[2, 2]),
        *sizes,
        node("Slice", "x b2 e2 axis2", "s2"),
        node("Slice", "s2 b3 e3 axis3", "s3"),
        node("Concat", "s3 up", "y", axis=1),
    ]
    weights = {
        "w": normal(8, 4, 5, 5), "t": normal(8, 4, 2, 2), "two": np.array([2]),
        "three": np.array([3]), "axis2": np.array([2]), "axis3": np.array([3]),
    }  # fmt: skip
    return Case(nodes, IMAGE, (), weights)


def test_a_crop_to_the_middle_is_said_in_one_word() -> None:
    _, reading, _ = readings(proto_of(cropped()))
    crop = {layer.output: layer for layer in reading.layers}["s3"]
    assert crop.form.call == "center_crop({0}, {1}.shape[{=0}:])"
    assert crop.inputs == ("x", "up")


def test_a_crop_elsewhere_is_an_index() -> None:
    _, reading, _ = readings(proto_of(cropped("three")))
    crop = {layer.output: layer for layer in reading.layers}["s3"]
    assert crop.form.call.startswith("{0}[:, :, ")
