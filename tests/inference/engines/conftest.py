"""Graphs of a few nodes, in PyTorch and in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from volunet.inference.engines.torch_graph import TorchGraph


@pytest.fixture(scope="session")
def proto_of() -> Callable[..., onnx.ModelProto]:
    """Make a model of nodes, of inputs by their sizes and of weights by name."""

    def make(
        nodes: Sequence[onnx.NodeProto],
        inputs: dict[str, Sequence[int | str]],
        weights: dict[str, Any] | None = None,
        outputs: Sequence[str] = ("y",),
        opset: int = 18,
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            list(nodes),
            "graph",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
                for name, shape in inputs.items()
            ],
            [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs],
            [numpy_helper.from_array(np.asarray(w), name) for name, w in (weights or {}).items()],
        )
        for value in graph.output:  # without a type, which ONNX Runtime infers
            value.ClearField("type")
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10
        )

    return make


@pytest.fixture(scope="session")
def graph_of() -> Callable[..., TorchGraph]:
    """Make a model ready in PyTorch."""

    def make(proto: onnx.ModelProto, **keys: Any) -> TorchGraph:
        return TorchGraph(ir.from_proto(proto), "m.onnx", **keys)

    return make


@pytest.fixture(scope="session")
def runtime() -> Callable[..., list[Any]]:
    """Ask ONNX Runtime."""

    def run(model: onnx.ModelProto | bytes, inputs: dict[str, Any]) -> list[Any]:
        data = model if isinstance(model, bytes) else model.SerializeToString()
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        return list(session.run(None, inputs))

    return run


@pytest.fixture(scope="session")
def check_parity(
    graph_of: Callable[..., TorchGraph], runtime: Callable[..., list[Any]]
) -> Callable[..., TorchGraph]:
    """Hold PyTorch's answers against ONNX Runtime's, by name and in order."""

    def check(proto: onnx.ModelProto, inputs: dict[str, Any]) -> TorchGraph:
        graph = graph_of(proto, threads=1)
        expected = runtime(proto, inputs)
        for given in (inputs, list(inputs.values())):
            for got, want in zip(graph.run(given), expected, strict=True):
                assert (got.shape, got.dtype) == (want.shape, want.dtype)
                # Float32 sums of at most a few hundred products, in another order.
                np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
        assert [tuple(shape) for shape in graph.outputs.values()] == [a.shape for a in expected]
        return graph

    return check
