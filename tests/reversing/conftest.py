"""Layers and steps by hand, and small models of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from volunet.graph import infer_sizes
from volunet.graph.operators import Source
from volunet.reversing.reading.constants import Constants
from volunet.reversing.reading.layers import Layer, form_of
from volunet.reversing.reading.nodes import Reading, read_layers
from volunet.reversing.structure.grammar import Step, step_of

_ROLES = {
    "nn.ConvT": "upsampling",
    "nn.Conv": "convolution",
    "nn.BatchNorm": "normalisation",
    "nn.MaxPool": "pooling",
    "F.relu": "activation",
}


@pytest.fixture(scope="session")
def layer() -> Callable[..., Layer]:
    """Make a layer of a constructor or of a call, which reads tensors and makes one."""

    def make(text: str, inputs: str, output: str, shape: Any = None, **weights: Any) -> Layer:
        is_module = text.startswith("nn.")
        source = Source("{module}({0})" if is_module else text, text if is_module else None)
        form, slots = form_of(source)
        role = next((role for start, role in _ROLES.items() if text.startswith(start)), "other")
        return Layer(form, slots, tuple(inputs.split()), output, shape, weights, "", role)

    return make


@pytest.fixture(scope="session")
def chain(layer: Callable[..., Layer]) -> Callable[..., list[Step]]:
    """Make steps that read one another, from ``x``; the answers are ``t0``, ``t1`` and so on."""

    def make(*texts: str, start: str = "x", name: str = "t") -> list[Step]:
        names = [start, *(f"{name}{index}" for index in range(len(texts)))]
        return [
            step_of(layer(text, names[index], names[index + 1])) for index, text in enumerate(texts)
        ]

    return make


@pytest.fixture(scope="session")
def make_model() -> Callable[..., ir.Model]:
    """Make a model of nodes; inputs are float32 sizes by name, weights arrays by name."""

    def make(
        nodes: Sequence[NodeProto],
        inputs: Mapping[str, Sequence[int | str]],
        weights: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = ("y",),
        *,
        lists_weights: bool = False,
    ) -> ir.Model:
        arrays = [numpy_helper.from_array(np.asarray(a), n) for n, a in (weights or {}).items()]
        given = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list(size))
            for name, size in inputs.items()
        ]
        if lists_weights:
            given += [
                helper.make_tensor_value_info(array.name, array.data_type, list(array.dims))
                for array in arrays
            ]
        graph = helper.make_graph(
            list(nodes),
            "graph",
            given,
            [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs],
            arrays,
        )
        imports = [helper.make_opsetid("", 18), helper.make_opsetid("elsewhere", 1)]
        return ir.from_proto(helper.make_model(graph, opset_imports=imports, ir_version=9))

    return make


@pytest.fixture(scope="session")
def read() -> Callable[..., Reading]:
    """Read a model's layers."""

    def make(model: ir.Model, *, partial: bool = False) -> Reading:
        network = infer_sizes(model, "net.onnx")
        assert network.failures == ()
        return read_layers(network, model, Constants(model, network), partial=partial)

    return make
