"""What a file computes from its weights alone is its value; what follows from sizes is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import helper

from volunet.errors import ReverseError
from volunet.graph import infer_sizes
from volunet.reversing.reading.constants import Constants

X = {"x": ("n", 2, "d")}
WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3, 1)

NODES = [
    helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0, 2]),
    helper.make_node("Mul", ["turned", "turned"], ["squared"]),
    helper.make_node("Shape", ["x"], ["size"]),
    helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
    helper.make_node("Conv", ["x", "squared"], ["c"]),
    helper.make_node("Add", ["x", "zeros"], ["y"]),
]


@pytest.fixture
def constants(make_model: Callable[..., ir.Model]) -> Callable[..., Constants]:
    def make(nodes: Any = NODES, weights: Any = None, **keys: Any) -> Constants:
        model = make_model(nodes, X, {"w": WEIGHT} if weights is None else weights, **keys)
        return Constants(model, infer_sizes(model, "net.onnx"))

    return make


def test_weights_and_what_is_made_of_them(constants: Any) -> None:
    found = constants()
    assert found.value("w").tolist() == WEIGHT.tolist()
    assert found.value("squared").tolist() == [[[0.0], [9.0]], [[1.0], [16.0]], [[4.0], [25.0]]]
    assert str(found.value("squared").dtype) == "float32"


def test_a_value_is_computed_once(constants: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = []
    original = onnxruntime.InferenceSession

    def session(*arguments: Any, **keys: Any) -> Any:
        sessions.append(1)
        return original(*arguments, **keys)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    found = constants()
    assert found.value("turned") is found.value("turned")
    assert len(sessions) == 1
    found.value("squared")
    found.value("w")
    assert len(sessions) == 2


@pytest.mark.parametrize("lists_weights", [False, True], ids=["weights apart", "weights as inputs"])
def test_files_that_list_weights_among_their_inputs_have_the_same_values(
    lists_weights: bool, constants: Any
) -> None:
    found = constants(lists_weights=lists_weights)
    assert found.value("turned").tolist() == WEIGHT.transpose(1, 0, 2).tolist()
    names = ("w", "turned", "squared", "zeros", "y", "x", "nothing")
    assert [found.is_fixed(name) for name in names] == [True] * 3 + [False] * 4


def test_bfloat16_is_read_as_float32(constants: Any) -> None:
    weight = np.array([1.5, -2.0], dtype=ml_dtypes.bfloat16)
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    model_weights = constants(nodes, {"w": np.zeros(1, np.float32)})._model
    model_weights.graph.initializers["w"].const_value = ir.tensor(weight, name="w")
    found = Constants(model_weights, infer_sizes(model_weights, "net.onnx")).value("w")
    assert (str(found.dtype), found.tolist()) == ("float32", [1.5, -2.0])


@pytest.mark.parametrize("name", ["zeros", "y", "nothing"])
def test_what_the_input_changes_is_no_constant(name: str, constants: Any) -> None:
    with pytest.raises(ReverseError) as caught:
        constants().value(name)
    assert str(caught.value) == (
        f"net.onnx: the tensor '{name}' is made from the sizes of the input.\n"
        "What a network computes with is its input or its weights.\n"
        "Export it without tensors that are filled by size."
    )


def test_what_onnx_runtime_cannot_compute_is_said(constants: Any) -> None:
    nodes = [
        helper.make_node("Strange", ["w"], ["made"], domain="elsewhere"),
        helper.make_node("Relu", ["x"], ["y"]),
    ]
    with pytest.raises(ReverseError) as caught:
        constants(nodes).value("made")
    where, *rest = str(caught.value).splitlines()
    assert where.startswith(
        "net.onnx: ONNX Runtime does not compute the tensor 'made' from the weights: "
    )
    assert rest[-2:] == [
        "What a network computes with is its input or its weights.",
        "Export the model again with constants folded.",
    ]
    assert type(caught.value.__cause__).__module__.startswith("onnxruntime")


def test_how_many_elements_a_tensor_has(constants: Any) -> None:
    found = constants()
    assert [found.size(name) for name in ("w", "squared", "nothing")] == [6, 6, 0]
