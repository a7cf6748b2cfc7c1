"""Nodes as PyTorch's modules and calls: their answers, constants, memory and texts."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper

from volunet.inference.engines import torch_steps

RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RANDOM.normal(size=shape).astype(np.float32)


CONV = {"w": normal(6, 2, 3, 3, 2), "b": normal(6)}
UP = {"w": normal(4, 3, 3, 3, 3), "b": normal(6)}

SINGLE: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "asymmetric pads, groups, dilations": (
        "Conv", CONV,
        {"pads": [1, 0, 2, 0, 3, 1], "group": 2, "dilations": [1, 2, 1], "strides": [2, 1, 1]},
    ),
    "transposed": (
        "ConvTranspose", UP, {"pads": [0, 1, 2, 1, 0, 2], "group": 2, "strides": [2, 2, 1]},
    ),
    "max ceil": (
        "MaxPool", {}, {"kernel_shape": [3, 2, 2], "strides": [2, 2, 2], "ceil_mode": 1},
    ),
    "max ceil asymmetric": (
        "MaxPool", {},
        {"kernel_shape": [3] * 3, "strides": [2] * 3, "pads": [0] * 3 + [1] * 3, "ceil_mode": 1},
    ),
    "average ceil": (
        "AveragePool", {},
        {"kernel_shape": [2] * 3, "strides": [2] * 3, "pads": [1, 0, 0, 0, 0, 1], "ceil_mode": 1},
    ),
    "average with its padding": (
        "AveragePool", {},
        {"kernel_shape": [2] * 3, "pads": [1, 0, 0, 0, 0, 1], "count_include_pad": 1},
    ),
    "global": ("GlobalAveragePool", {}, {}),
    "batch norm": (
        "BatchNormalization",
        {"s": normal(4), "b": normal(4), "m": normal(4), "v": normal(4) ** 2}, {"epsilon": 0.01},
    ),
    "slopes by channel": ("PRelu", {"w": normal(4, 1, 1, 1)}, {}),
    "softmax": ("Softmax", {}, {"axis": 1}),
    "class indices": ("ArgMax", {}, {"axis": 1, "keepdims": 0}),
    "largest": ("ReduceMax", {"a": np.array([2, 4])}, {"keepdims": 0}),
    "clip": ("Clip", {"low": np.float32(-0.25), "high": np.float32(0.5)}, {}),
    "power": ("Pow", {"e": np.int64(2)}, {}),
    "reflected": ("Pad", {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1, 1, 2])}, {"mode": "reflect"}),
    "parts": (
        "Slice", {"s": np.array([-1, 1]), "e": np.array([99, 99]), "a": np.array([1, 3])}, {},
    ),
    "expanded": ("Expand", {"s": np.array([2, 1, 1, 1, 1])}, {}),
    "matrix": ("MatMul", {"w": normal(6, 3)}, {}),
    "linear": (
        "Resize", {"": np.float32(0), "s": np.float32([1, 1, 2, 1.5, 2])}, {"mode": "linear"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SINGLE)
def test_an_operator_answers_as_in_onnx_runtime(
    case: str, proto_of: Any, check_parity: Any
) -> None:
    op_type, weights, attributes = SINGLE[case]
    node = helper.make_node(op_type, ["x", *weights], ["y"], **attributes)
    weights = {name: weight for name, weight in weights.items() if name}
    check_parity(proto_of([node], {"x": (1, 4, 5, 7, 6)}, weights), {"x": normal(1, 4, 5, 7, 6)})


def test_sizes_and_weights_that_the_graph_computes_are_constants(
    proto_of: Any, check_parity: Any
) -> None:
    """Of shapes, of more elements than `infer_sizes` keeps, and by an operator of its own."""
    long = numpy_helper.from_array(normal(5, 4, 3, 3), "long")
    nodes = [
        helper.make_node("Constant", [], ["long"], value=long),
        helper.make_node("Neg", ["long"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Slice", ["sizes", "zero", "one"], ["batch"]),
        helper.make_node("Concat", ["batch", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["c", "wanted"], ["flat"]),
        helper.make_node("ConstantOfShape", ["big"], ["ones"], value=numpy_helper.from_array(
            np.ones(1, np.float32))),
        helper.make_node("Mul", ["flat", "ones"], ["y"]),
    ]  # fmt: skip
    weights = {
        "zero": np.array([0]), "one": np.array([1]), "rest": np.array([-1, 3]),
        "big": np.array([1, 40, 3]),
    }  # fmt: skip
    graph = check_parity(proto_of(nodes, {"x": (2, 4, 6, 8)}, weights), {"x": normal(2, 4, 6, 8)})
    assert [step.node.op_type for step in graph._steps] == ["Conv", "Reshape", "Mul"]


def test_a_turned_input_is_a_view_in_channels_last_order(
    proto_of: Any, graph_of: Any, check_parity: Any
) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 4, 1, 2, 3]),
        helper.make_node("Conv", ["t", "w"], ["y"], pads=[1] * 6),
    ]
    proto = proto_of(nodes, {"x": (1, 4, 5, 6, 3)}, {"w": normal(2, 3, 3, 3, 3)})
    check_parity(proto, {"x": normal(1, 4, 5, 6, 3)})
    graph = graph_of(proto)
    seen: list[torch.Tensor] = []
    module = graph._steps[1].module
    assert module is not None
    module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    graph.run([normal(1, 4, 5, 6, 3)])
    assert seen[0].is_contiguous(memory_format=torch.channels_last_3d)


def test_what_nothing_reads_any_more_is_let_go(
    monkeypatch: pytest.MonkeyPatch, proto_of: Any, graph_of: Any
) -> None:
    """In a chain of five with a skip over it, at most the skip and two others live at once."""
    names = ["x", "a", "b", "c", "d", "e"]
    nodes = [helper.make_node("Exp", [i], [o]) for i, o in pairwise(names)]
    nodes.append(helper.make_node("Add", ["a", "e"], ["y"]))
    graph = graph_of(proto_of(nodes, {"x": (4, 4)}))
    alive: dict[str, Any] = {}
    most: list[set[str]] = []
    run = torch_steps.Step.run

    def watched(step: torch_steps.Step, tensors: dict[str, torch.Tensor]) -> None:
        run(step, tensors)
        gc.collect()
        name = step.node.output_names[0]
        alive[name] = weakref.ref(tensors[name])
        most.append({name for name, made in alive.items() if made() is not None})

    monkeypatch.setattr(torch_steps.Step, "run", watched)
    graph.run([np.zeros((4, 4), np.float32)])
    assert most == [{"a"}, {"a", "b"}, {"a", "c"}, {"a", "d"}, {"a", "e"}, {"y"}]


def test_names_in_the_file_are_never_evaluated(
    tmp_path: Path, proto_of: Any, check_parity: Any
) -> None:
    mark = tmp_path / "mark"
    name = f"open({str(mark)!r}, 'w')"
    nodes = [
        helper.make_node("Conv", ["x", name], ["{0}"], name="{module}"),
        helper.make_node("Relu", ["{0}"], [f"x0); {name}"], name=name),
        helper.make_node("Relu", [f"x0); {name}"], ["y"]),
    ]
    proto = proto_of(nodes, {"x": (1, 1, 4)}, {name: normal(1, 1, 3)})
    check_parity(proto, {"x": normal(1, 1, 4)})
    assert not mark.exists()
    with pytest.raises(NameError, match="open"):
        torch_steps._evaluated(name)
