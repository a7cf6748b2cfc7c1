"""The values of a network's parameters, in the shapes of its modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from volunet.graph import infer_sizes
from volunet.reversing.reading.constants import Constants
from volunet.reversing.reading.layers import Layer, Weight
from volunet.reversing.writing.weights import count_parameters, state_of

WEIGHTS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "h": np.array([0.5, 2.0], np.float16),
    "d": np.array([[0.1, 0.2], [0.3, 0.4]]),
    "one": np.array([0.25], np.float32),
    "i": np.array([7, 8]),
}


@pytest.fixture(scope="module")
def constants(make_model: Callable[..., ir.Model]) -> Constants:
    nodes = [helper.make_node("Identity", [name], [f"{name}2"]) for name in WEIGHTS]
    model = make_model([*nodes, helper.make_node("Relu", ["x"], ["y"])], {"x": (1, 2)}, WEIGHTS)
    return Constants(model, infer_sizes(model, "net.onnx"))


@pytest.mark.parametrize(
    ("weight", "values"),
    [
        (Weight("w"), [[0, 1, 2], [3, 4, 5]]),
        (Weight("w", transposed=True), [[0, 3], [1, 4], [2, 5]]),
        (Weight("w", shape=(6,)), [0, 1, 2, 3, 4, 5]),
        (Weight("w", transposed=True, shape=(1, 6)), [[0, 3, 1, 4, 2, 5]]),
        (Weight("h"), [0.5, 2.0]),
        (Weight("d"), np.array([[0.1, 0.2], [0.3, 0.4]], np.float32).tolist()),
        (Weight("one", shape=(3,)), [0.25] * 3),
        (Weight(shape=(2,), fill=1.5), [1.5, 1.5]),
        (Weight(fill=1.5), 1.5),
    ],
    ids=["as it is", "transposed", "flat", "both", "half", "double", "spread", "filled", "scalar"],
)
def test_values_in_the_modules_shape(
    weight: Weight, values: Any, constants: Constants, layer: Callable[..., Layer]
) -> None:
    state = state_of([("conv", layer("nn.Conv1d(1, 1, 1)", "x", "y", weight=weight))], constants)
    assert list(state) == ["conv.weight"]
    found = state["conv.weight"]
    assert found.tolist() == values
    assert (str(found.dtype), found.flags.c_contiguous) == ("float32", True)


def test_whole_numbers_stay_whole(constants: Constants, layer: Callable[..., Layer]) -> None:
    state = state_of(
        [("scale", layer("nn.Parameter((2,))", "x", "y", **{"": Weight("i")}))], constants
    )
    assert list(state) == ["scale"]
    assert (str(state["scale"].dtype), state["scale"].tolist()) == ("int64", [7, 8])


def test_a_batch_norm_has_counted_no_batches(
    constants: Constants, layer: Callable[..., Layer]
) -> None:
    norm = layer("nn.BatchNorm3d(2)", "x", "y", weight=Weight("h"), running_var=Weight("h"))
    state = state_of([("a.norm", norm)], constants)
    assert list(state) == ["a.norm.weight", "a.norm.running_var", "a.norm.num_batches_tracked"]
    counted = state["a.norm.num_batches_tracked"]
    assert (str(counted.dtype), counted.shape, counted.item()) == ("int64", (), 0)


def test_what_is_learned_is_counted(constants: Constants, layer: Callable[..., Layer]) -> None:
    fill = {"weight": Weight(shape=(2,), fill=1.0), "bias": Weight(shape=(2,), fill=0.0)}
    running = {"running_mean": Weight("h"), "running_var": Weight(shape=(2,), fill=1.0)}
    layers = [
        layer(
            "nn.Conv1d(1, 1, 1)", "x", "y", weight=Weight("w", transposed=True), bias=Weight("h")
        ),
        layer("nn.PReLU(3)", "x", "y", weight=Weight("one", shape=(3,))),
        layer("nn.BatchNorm1d(2)", "x", "y", **fill, **running),
        layer("F.relu({0})", "x", "y"),
    ]
    counts = [count_parameters([("path", each)], constants) for each in layers]
    assert counts == [6 + 2, 3, 2 + 2, 0]
    paths = [(str(index), each) for index, each in enumerate(layers)]
    assert count_parameters(paths, constants) == sum(counts)
