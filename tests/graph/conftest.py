"""Small graphs, written node by node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

Size = Sequence[int | str]


@pytest.fixture(scope="session")
def make_proto() -> Callable[..., onnx.ModelProto]:
    """Make a model of nodes, from ``x`` of a size to ``y``; weights are arrays by name."""

    def make(
        nodes: Sequence[onnx.NodeProto],
        size: Size,
        weights: dict[str, Any] | None = None,
        *,
        opset: int = 18,
        outputs: Sequence[str] = ("y",),
        inputs: dict[str, Size] | None = None,
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            list(nodes),
            "graph",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
                for name, shape in (inputs or {"x": size}).items()
            ],
            [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs],
            [
                numpy_helper.from_array(np.asarray(array), name)
                for name, array in (weights or {}).items()
            ],
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9
        )

    return make


@pytest.fixture(scope="session")
def make_model(make_proto: Callable[..., onnx.ModelProto]) -> Callable[..., ir.Model]:
    """The same as `onnx_ir.Model`."""

    def make(*arguments: Any, **keys: Any) -> ir.Model:
        return ir.from_proto(make_proto(*arguments, **keys))

    return make


@pytest.fixture(scope="session")
def two_levels(make_model: Callable[..., ir.Model]) -> Callable[..., ir.Model]:
    """Make a network that halves its input, doubles it again and joins both: even sizes only."""

    def make(size: Size = (1, 1, "d", "h", "w")) -> ir.Model:
        rng = np.random.default_rng(0)
        axes = len(size) - 2
        kernel = (3,) * axes
        pads = [1] * (2 * axes)
        half = {"kernel_shape": [2] * axes, "strides": [2] * axes}
        twice = [2] * axes
        nodes = [
            helper.make_node("Conv", ["x", "w0", "b0"], ["c"], name="enter", pads=pads),
            helper.make_node("Relu", ["c"], ["skip"], name="rectify"),
            helper.make_node("MaxPool", ["skip"], ["p"], name="halve", **half),
            helper.make_node("ConvTranspose", ["p", "w1"], ["up"], name="double", strides=twice),
            helper.make_node("Concat", ["skip", "up"], ["j"], name="join", axis=1),
            helper.make_node("Conv", ["j", "w2"], ["y"], name="leave"),
        ]
        weights = {
            "w0": rng.normal(size=(4, 1, *kernel)).astype(np.float32),
            "b0": rng.normal(size=4).astype(np.float32),
            "w1": rng.normal(size=(4, 4, *(2,) * axes)).astype(np.float32),
            "w2": rng.normal(size=(2, 8, *(1,) * axes)).astype(np.float32),
        }
        return make_model(nodes, size, weights)

    return make


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Write a model to a file."""

    def save(model: onnx.ModelProto | ir.Model, name: str = "model.onnx") -> Path:
        path = tmp_path / name
        onnx.save(model if isinstance(model, onnx.ModelProto) else ir.to_proto(model), path)
        return path

    return save
