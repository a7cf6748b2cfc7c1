"""Constants."""

from __future__ import annotations

from fractions import Fraction

import onnx_ir as ir

from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator
from volunet.graph.tensors import Tensor, Value, constant_tensor


class Constant(Operator):
    """``Constant``.

    Source:
        https://onnx.ai/onnx/operators/onnx__Constant.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The attribute's shape, its elements where they are few."""
        name = node.output_names[0]
        content = node.attributes.get("value")
        if isinstance(content, ir.TensorProtocol):
            return (constant_tensor(name, content),)
        for key, dtype in (("int", ir.DataType.INT64), ("float", ir.DataType.FLOAT)):
            if f"value_{key}" in node.attributes:
                values = _numbers(node.real(f"value_{key}", 0.0), dtype)
                return (Tensor(name, dtype, (), values, is_data=False),)
            listed = node.attributes.get(f"value_{key}s")
            if isinstance(listed, list | tuple):
                numbers = tuple(v for number in listed for v in _numbers(number, dtype))
                return (Tensor(name, dtype, (len(listed),), numbers, is_data=False),)
        raise node.fault(f"no value of a supported kind among {', '.join(node.attributes)}")


def _numbers(number: object, dtype: ir.DataType) -> tuple[Value, ...]:
    if not isinstance(number, int | float):
        return ()
    return (int(number),) if dtype == ir.DataType.INT64 else (Fraction(number),)
