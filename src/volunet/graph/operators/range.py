"""Numbers in a row."""

from __future__ import annotations

from volunet.graph.bounds import maximum
from volunet.graph.node import Node
from volunet.graph.operators.operator import Operator, SizeWriter, Source
from volunet.graph.operators.wanted_shape import depends
from volunet.graph.sizes import ceil_div
from volunet.graph.tensors import MOST_VALUES, Tensor


class Range(Operator):
    """``Range``: max(0, ⌈(limit − start) / delta⌉) numbers.

    Source:
        https://onnx.ai/onnx/operators/onnx__Range.html
    """

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """A list, its values known where the bounds are numbers."""
        bounds = [node.sizes(index) for index in range(3)]
        if any(bound is None for bound in bounds):
            raise depends(node, "bounds")
        start, limit, delta = (bound[0] for bound in bounds if bound is not None)
        if not isinstance(delta, int) or delta == 0:
            raise node.fault(f"delta {delta}")
        span = limit - start if delta > 0 else start - limit
        count = maximum(0, ceil_div(span, abs(delta)))
        values = None
        if isinstance(count, int) and count <= MOST_VALUES:
            values = tuple(start + index * delta for index in range(count))
        return (node.output((count,), values=values, is_data=False),)

    def source(self, node: Node) -> Source | None:
        """``torch.arange``."""
        bounds = [sizes[0] for sizes in (node.sizes(index) for index in range(3)) if sizes]
        writer = SizeWriter()
        return Source(f"torch.arange({writer.listed(bounds)})", sizes=writer.formulas)
