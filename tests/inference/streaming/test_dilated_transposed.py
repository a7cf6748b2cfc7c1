"""Dilated transposed convolutions are a small convolution with gaps between its answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from volunet.inference.engines.torch_graph import TorchGraph
from volunet.inference.streaming.dilated_transposed import write_small
from volunet.inference.streaming.fixed import fix_graph

SIZE = (4, 5, 3)


def written(made: Any) -> tuple[Any, Any, dict[str, Any]]:
    fixed = fix_graph(ir.from_proto(made.model()), "m.onnx", SIZE)
    constants: dict[str, Any] = {}
    return fixed, write_small(fixed, fixed.steps[0], constants), constants


@pytest.mark.parametrize(
    ("kernel", "keys"),
    [
        ((2, 2, 2), {"strides": [2] * 3, "dilations": [2] * 3}),
        ((3, 2, 3), {"strides": [2] * 3, "dilations": [4, 2, 2]}),
        ((3, 3, 2), {"strides": [3, 2, 2], "dilations": [3, 2, 2], "pads": [1, 0, 1, 2, 1, 0]}),
        ((2, 2, 2), {"strides": [2] * 3, "dilations": [2] * 3, "output_padding": [1, 0, 1]}),
    ],
    ids=["notes", "further", "cut", "added"],
)
@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "plain"])
def test_it_is_the_same_convolution(
    kernel: Any, keys: dict[str, Any], has_bias: bool, net: Any
) -> None:
    made = net(SIZE)
    weights = [made.normal(2, 3, *kernel)] + ([made.normal(3, mean=0.5)] if has_bias else [])
    made.add("ConvTranspose", made.x, *weights, **keys)
    fixed, nodes, constants = written(made)
    assert [node.op_type for node in nodes] == ["Conv", "ConvTranspose"]
    x = np.random.default_rng(0).normal(size=(1, 2, *SIZE))
    for name in [v.name for node in nodes for v in node.inputs if v is not None]:
        if name in fixed.constants:
            constants[name] = fixed.constants[name]
    source, target = (
        ir.Value(name=n, shape=ir.Shape(fixed.shapes[n]), type=ir.TensorType(ir.DataType.FLOAT))
        for n in (fixed.source, fixed.target)
    )
    model = fixed.model_of(nodes, [source], [target], constants)
    (got,) = TorchGraph(model, "m", torch.float64).run([x])
    (want,) = TorchGraph(ir.from_proto(made.model()), "m", torch.float64).run([x])
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 1e-14  # at most 36 float64 products in another order
    assert (want == 0).any() != has_bias  # what no tap meets is the bias alone


@pytest.mark.parametrize(
    ("kernel", "keys"),
    [
        ((2, 2, 2), {"strides": [2] * 3}),
        ((2, 2, 2), {"strides": [2] * 3, "dilations": [3] * 3}),
        ((2, 2, 2), {"strides": [4] * 3, "dilations": [2] * 3}),
        ((2, 2, 2), {"strides": [2] * 3, "dilations": [2] * 3, "group": 2}),
        ((2, 2, 2), {"strides": [2] * 3, "dilations": [2] * 3, "pads": [3, 0, 0, 0, 0, 0]}),
        ((2, 2, 2), {"dilations": [2] * 3}),
    ],
    ids=["not dilated", "no common factor", "half", "groups", "cut off in front", "no stride"],
)
def test_others_are_left_alone(kernel: Any, keys: dict[str, Any], net: Any) -> None:
    made = net(SIZE)
    made.transposed(2, kernel, **keys)
    _, nodes, constants = written(made)
    assert nodes is None
    assert constants == {}


def test_other_operators_are_left_alone(net: Any) -> None:
    made = net(SIZE)
    made.conv(2, (2, 2, 2), dilations=[2, 2, 2])
    assert written(made)[1:] == (None, {})
