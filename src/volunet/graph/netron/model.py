"""The `onnx_ir.Model` of a draft whose attributes are complete."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from volunet.graph.netron.draft import Draft, Weight
from volunet.graph.netron.lines import Dimension
from volunet.graph.netron.schema import DTYPES

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""Names of the spatial axes of an input that takes any size."""


def build_model(draft: Draft, input_shapes: dict[str, tuple[Dimension, ...]]) -> ir.Model:
    """Build the model of a draft.

    Args:
        draft: The draft.
        input_shapes: The shape of each input.
    """
    values: dict[str, ir.Value] = {}
    sketch = draft.sketch
    for name in sketch.inputs:
        dtype = DTYPES.get(sketch.dtypes.get(name, ""), ir.DataType.FLOAT)
        shape = ir.Shape(list(input_shapes[name]))
        values[name] = ir.Value(name=name, shape=shape, type=ir.TensorType(dtype))
    initializers = []
    for name, weight in draft.weights.items():
        tensor = ir.tensor(_content(weight), name=name)
        value = ir.Value(
            name=name,
            shape=ir.Shape(weight.shape),
            type=ir.TensorType(weight.dtype),
            const_value=tensor,
        )
        values[name] = value
        initializers.append(value)
    nodes = []
    for drafted in draft.nodes:
        node = ir.Node(
            "",
            drafted.op_type,
            [values[name] if name else None for name in drafted.inputs],
            ir.convenience.convert_attributes(drafted.attributes),
            num_outputs=len(drafted.outputs),
            name=drafted.name,
        )
        for name, output in zip(drafted.outputs, node.outputs, strict=True):
            output.name = name
            values[name] = output
        nodes.append(node)
    graph = ir.Graph(
        [values[name] for name in sketch.inputs],
        [values[name] for name in dict.fromkeys(sketch.outputs)],
        nodes=nodes,
        initializers=initializers,
        opset_imports={"": draft.opset},
        name="main",
    )
    return ir.Model(graph, ir_version=10, producer_name="volunet")


def _content(weight: Weight) -> Any:
    """The elements of a weight; where they are not known a zero that stands for all of them."""
    if weight.values is not None:
        return weight.values
    return np.broadcast_to(np.zeros((), weight.dtype.numpy()), weight.shape)
