"""One value, repeated to a shape."""

from __future__ import annotations

from fractions import Fraction

import onnx_ir as ir

from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator, SizeWriter, Source
from volunet.graph.operators.wanted_shape import wanted_shape
from volunet.graph.sizes import product
from volunet.graph.tensors import MOST_VALUES, Tensor, Value, known_values


class ConstantOfShape(Operator):
    """``ConstantOfShape``: one value, repeated to a shape.

    Source:
        https://onnx.ai/onnx/operators/onnx__ConstantOfShape.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The shape asked for."""
        shape = wanted_shape(node, 0)
        content = node.attributes.get("value")
        dtype = ir.DataType.FLOAT
        values: tuple[Value, ...] | None = (Fraction(0),)
        if isinstance(content, ir.TensorProtocol):
            dtype, values = content.dtype, known_values(content.numpy())
        count = product(shape)
        few = isinstance(count, int) and count <= MOST_VALUES
        known = values * count if values and few and isinstance(count, int) else None
        return (node.output(shape, dtype=dtype, values=known, is_data=False),)

    def source(self, node: Node) -> Source | None:
        """``torch.full`` with the shape that it has here."""
        content = node.attributes.get("value")
        value = content.numpy().item() if isinstance(content, ir.TensorProtocol) else 0.0
        writer = SizeWriter()
        shape = writer.bracketed(node.outputs[0].shape or ())
        return Source(f"torch.full({shape}, {value})", sizes=writer.formulas)
