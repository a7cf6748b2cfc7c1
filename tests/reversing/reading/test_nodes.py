"""Each node is the layer that its operator's rule says, or a gap that is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from volunet.errors import ReverseError
from volunet.reversing.reading.layers import Layer, Weight
from volunet.reversing.structure.parameters import literal

VOLUME = ("n", 2, "d", "h", "w")


def node(kind: str, inputs: str, outputs: str, **keys: Any) -> NodeProto:
    names = [name.strip("-") for name in inputs.split()]
    return helper.make_node(kind, names, outputs.split(), name=f"the {kind}", **keys)


def text(layer: Layer) -> str:
    """The call with its inputs' names, and its module's constructor in front."""
    slots = [literal(slot) for slot in layer.slots]
    form = layer.form
    call = form.function or form.text("{module}", layer.inputs, slots)
    if form.module and not form.function:
        given = zip(form.arguments, slots, strict=False)
        return f"{form.module}({', '.join(f'{a}={v}' for a, v in given)}) {call}"
    return call.replace("{0}", layer.inputs[0]) if form.function else call


def test_a_convolution_is_a_module_with_its_weights(make_model: Any, read: Any) -> None:
    weights = {"w": np.ones((4, 2, 3, 3, 3), np.float32), "b": np.ones(4, np.float32)}
    model = make_model([node("Conv", "x w b", "y", pads=[1] * 6)], {"x": VOLUME}, weights)
    reading = read(model)
    (layer,) = reading.layers
    assert layer.form.module == "nn.Conv3d"
    assert layer.slots == (2, 4, 3, 1, 1, 1, 1, True)
    assert layer.weights == {"weight": Weight("w"), "bias": Weight("b")}
    assert layer.form.weights == ("weight", "bias")
    assert (layer.inputs, layer.output) == (("x",), "y")
    assert (layer.node, layer.role) == ("Conv 'the Conv'", "convolution")
    assert [str(size) for size in layer.shape] == ["n", "4", "d", "h", "w"]
    assert (reading.inputs, reading.outputs, reading.gaps) == (("x",), ("y",), ())
    assert [str(size) for size in reading.shapes["y"]] == ["n", "4", "d", "h", "w"]
    assert reading.shapes["w"] == (4, 2, 3, 3, 3)


def test_weights_that_lie_across_are_noted(make_model: Any, read: Any) -> None:
    model = make_model(
        [node("MatMul", "x w", "y")], {"x": ("n", 3)}, {"w": np.ones((3, 5), np.float32)}
    )
    (layer,) = read(model).layers
    assert layer.slots == (3, 5, False)
    assert layer.weights == {"weight": Weight("w", transposed=True)}


def test_slopes_are_one_for_each_channel(make_model: Any, read: Any) -> None:
    weights = {"s": np.full((2, 1, 1, 1), 0.25, np.float32)}
    (layer,) = read(make_model([node("PRelu", "x s", "y")], {"x": VOLUME}, weights)).layers
    assert (layer.form.module, layer.slots) == ("nn.PReLU", (2,))
    assert layer.weights == {"weight": Weight("s", shape=(2,))}


def test_what_only_passes_a_value_on_is_no_layer(make_model: Any, read: Any) -> None:
    nodes = [
        node("Identity", "x", "a"),
        node("Cast", "a", "b", to=TensorProto.FLOAT16),
        node("Dropout", "b", "c"),
        node("Relu", "c", "d"),
        node("Identity", "d", "y"),
    ]
    reading = read(make_model(nodes, {"x": VOLUME}))
    assert [text(layer) for layer in reading.layers] == ["F.relu(x)"]
    assert reading.outputs == ("d",)


def test_a_cast_to_whole_numbers_is_a_layer(make_model: Any, read: Any) -> None:
    reading = read(make_model([node("Cast", "x", "y", to=TensorProto.INT64)], {"x": VOLUME}))
    assert [text(layer) for layer in reading.layers] == ["x.to(torch.int64)"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (np.float32(0.1), "0.1"),
        (np.array([1e-5], np.float32), "1e-05"),
        (np.float32(-3), "-3.0"),
        (np.float32(np.inf), 'float("inf")'),
        (np.float32(-np.inf), 'float("-inf")'),
        (np.float32(np.nan), 'float("nan")'),
        (np.float32(16777217), "16777216.0"),
    ],
    ids=["tenth", "one element", "negative", "infinite", "below all", "no number", "large"],
)
def test_one_number_stands_in_the_call(
    value: Any, written: str, make_model: Any, read: Any
) -> None:
    reading = read(make_model([node("Add", "x c", "y")], {"x": VOLUME}, {"c": value}))
    (layer,) = reading.layers
    assert text(layer) == f"x + {written}"
    assert (layer.inputs, layer.weights) == (("x",), {})
    assert eval(written, {"float": float}) == value or np.isnan(value)  # noqa: S307 - our own text


def test_several_numbers_are_a_parameter(make_model: Any, read: Any) -> None:
    weights = {"c": np.ones((2, 1, 1, 1), np.float32)}
    (layer,) = read(make_model([node("Mul", "c x", "y")], {"x": VOLUME}, weights)).layers
    assert layer.form.call == "{module} * {0}"
    assert (layer.form.module, layer.slots) == ("nn.Parameter", ((2, 1, 1, 1),))
    assert layer.weights == {"": Weight("c")}


def test_a_value_that_is_read_twice_is_one_input(make_model: Any, read: Any) -> None:
    (layer,) = read(make_model([node("Mul", "x x", "y")], {"x": VOLUME})).layers
    assert (layer.form.call, layer.inputs) == ("{0} * {0}", ("x",))


def test_parts_are_answers_of_one_split(make_model: Any, read: Any) -> None:
    nodes = [
        helper.make_node("Split", ["x", "s"], ["a", "b"], axis=1),
        node("Add", "b a", "y"),
    ]
    model = make_model(nodes, {"x": VOLUME}, {"s": np.array([1, 1])})
    reading = read(model)
    assert [(text(layer), layer.output) for layer in reading.layers] == [
        ("torch.split(x, [1, 1], dim=1)", "a*"),
        ("a*[0]", "a"),
        ("a*[1]", "b"),
        ("b + a", "y"),
    ]


def test_a_size_is_that_of_the_tensor_that_it_meets(make_model: Any, read: Any) -> None:
    nodes = [
        node("MaxPool", "x", "p", kernel_shape=[2, 2, 2], strides=[2, 2, 2]),
        node("Shape", "x", "s"),
        node("Resize", "p - - s", "r", mode="nearest", nearest_mode="floor",
             coordinate_transformation_mode="asymmetric"),
        node("Concat", "x r", "y", axis=1),
    ]  # fmt: skip
    pool, resize, cat = read(make_model(nodes, {"x": VOLUME})).layers
    assert text(resize) == 'F.interpolate(p, size=x.shape[2:], mode="nearest")'
    assert resize.inputs == ("p", "x")
    assert text(cat) == "torch.cat([x, r], dim=1)"
    assert pool.output == "p"


def test_tensors_that_are_filled_by_size_are_layers_of_their_own(
    make_model: Any, read: Any
) -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("ConstantOfShape", "s", "z"),
        node("Add", "x z", "y"),
    ]
    zeros, added = read(make_model(nodes, {"x": ("n", 2, "d")})).layers
    assert text(zeros).startswith("torch.full((x.shape[0], 2, x.shape[2]), 0.0")
    assert text(added) == "x + z"


def test_a_dropout_of_training_drops(make_model: Any, read: Any) -> None:
    nodes = [helper.make_node("Dropout", ["x", "r", "t"], ["y"])]
    model = make_model(nodes, {"x": VOLUME}, {"r": np.float32(0.3), "t": np.bool_(True)})
    (layer,) = read(model).layers
    assert (layer.form.module, layer.slots) == ("nn.Dropout", (0.3,))


@pytest.mark.parametrize("training", [0, 1])
def test_a_batch_norm_is_a_module_in_training_mode_too(
    training: int, make_model: Any, read: Any
) -> None:
    outputs = "y mean var" if training else "y"
    nodes = [node("BatchNormalization", "x s b m v", outputs, training_mode=training)]
    weights = {name: np.ones(2, np.float32) for name in "sbmv"}
    reading = read(make_model(nodes, {"x": VOLUME}, weights))
    (layer,) = reading.layers
    assert (layer.form.module, layer.slots) == ("nn.BatchNorm3d", (2, 1e-05))
    names = ("weight", "bias", "running_mean", "running_var")
    assert layer.weights == dict(zip(names, map(Weight, "sbmv"), strict=True))
    assert reading.train_mode is bool(training)


def test_operators_that_are_not_known_are_all_named(make_model: Any, read: Any) -> None:
    nodes = [
        node("Relu", "x", "a"),
        node("Strange", "a x", "b", domain="elsewhere"),
        node("Add", "a b", "y"),
    ]
    model = make_model(nodes, {"x": VOLUME})
    with pytest.raises(ReverseError) as caught:
        read(model)
    assert str(caught.value) == (
        "net.onnx: no PyTorch for 1 node: elsewhere.Strange 'the Strange'; behind them 1 of "
        "unknown sizes.\n"
        "Operators and their settings are those of docs/operators.md.\n"
        "Add --partial for the rest of the network, with gaps that raise."
    )


TWO_LISTS = {
    "c": np.array([True, False]).reshape(2, 1, 1, 1),
    "z": np.ones((2, 1, 1, 1), np.float32),
}
"""Of which PyTorch's expression would need two parameters."""


def test_two_lists_of_numbers_in_one_node_are_not_written(make_model: Any, read: Any) -> None:
    model = make_model([node("Where", "c x z", "y")], {"x": VOLUME}, TWO_LISTS)
    with pytest.raises(
        ReverseError, match=r"^net.onnx: no PyTorch for 1 node: Where 'the Where'\.\n"
    ):
        read(model)


def test_gaps_stand_where_operators_are_not_known(make_model: Any, read: Any) -> None:
    nodes = [
        node("Relu", "x", "a"),
        node("Where", "c a z", "b"),
        node("Add", "a b", "m"),
        node("Strange", "m a", "y", domain="elsewhere"),
    ]
    reading = read(make_model(nodes, {"x": VOLUME}, TWO_LISTS), partial=True)
    assert reading.gaps == ("gap 1: Where 'the Where'", "gap 2: elsewhere.Strange 'the Strange'")
    assert [text(layer) for layer in reading.layers] == [
        "F.relu(x)",
        'missing("gap 1", a)',
        "a + b",
        'missing("gap 2", m, a)',
    ]
    shapes = [reading.shapes[name] for name in ("b", "m", "y")]
    assert [None if shape is None else len(shape) for shape in shapes] == [5, 5, None]


@pytest.mark.parametrize(
    ("kind", "inputs", "expected"),
    [
        ("Pow", "c x", "(-2.0) ** x"),
        ("Max", "x c", "torch.clamp(x, min=-2.0)"),
        ("Max", "c x", "torch.clamp(x, min=-2.0)"),
        ("Min", "x c", "torch.clamp(x, max=-2.0)"),
    ],
)
def test_a_number_stands_as_python_and_pytorch_take_it(
    kind: str, inputs: str, expected: str, make_model: Any, read: Any
) -> None:
    weights = {"c": np.array(-2.0, np.float32)}
    (layer,) = read(make_model([node(kind, inputs, "y")], {"x": VOLUME}, weights)).layers
    assert text(layer) == expected


def test_a_split_into_one_part_is_its_first_part(make_model: Any, read: Any) -> None:
    model = make_model([node("Split", "x", "y", axis=1)], {"x": VOLUME})
    parts = read(model).layers
    assert [layer.inputs for layer in parts] == [("x",), ("y*",)]
    assert text(parts[1]) == "y*[0]"


def test_a_second_answer_that_pytorch_does_not_give_is_named(make_model: Any, read: Any) -> None:
    nodes = [
        node("MaxPool", "x", "a places", kernel_shape=[2] * 3, strides=[2] * 3),
        node("Cast", "places", "y", to=TensorProto.FLOAT),
    ]
    message = "(?s)tensor 'places' is no layer's answer.*by an operator's first output"
    with pytest.raises(ReverseError, match=message):
        read(make_model(nodes, {"x": VOLUME}))


def test_a_number_that_is_expanded_is_a_full_tensor(make_model: Any, read: Any) -> None:
    nodes = [node("Shape", "x", "size"), node("Expand", "zero size", "a"), node("Add", "a x", "y")]
    weights = {"zero": np.array(0.0, np.float32)}
    filled, added = read(make_model(nodes, {"x": VOLUME}, weights)).layers
    assert filled.form.call == (
        "torch.full(({0}.shape[{=0}], {=1}, {0}.shape[{=2}], {0}.shap"
        "e[{=3}], {0}.shape[{=4}]), {=5})"
    )
    assert filled.slots == (0, 2, 2, 3, 4, 0.0)
    assert added.inputs == (filled.output, "x")
