"""A matrix product with a bias, as fully connected layers are exported."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.arithmetic import broadcast_read, unify
from volunet.graph.operators.operator import Flops, Operator, Read, Role, Source
from volunet.graph.sizes import Size
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


class Gemm(Operator):
    """``Gemm``: alpha·A·B + beta·C; (M, K) and (K, N) → (M, N), either transposed where asked.

    Source:
        https://onnx.ai/onnx/operators/onnx__Gemm.html
    """

    role: Role = "fully connected"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """(M, N)."""
        (rows, inner), (other_inner, columns) = self._sizes(node)
        node.require("==", inner, other_inner, "columns of A and rows of B")
        if node.has(2):
            unify(node, (rows, columns), 2)
        return (node.output((rows, columns)),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """Rows of A follow the output's rows, columns of B its columns; all of the inner axis."""
        if index > 1:
            return broadcast_read(node, index, axis)
        size = node.numbers(index)[axis]
        swapped = bool(node.integer("transA" if index == 0 else "transB", 0))
        outer = (axis == index) != swapped
        return Read(index, Pointwise()) if outer else Read(None, Whole(size))

    def flops(self, node: Node) -> Flops:
        """2·M·K·N, and an addition for the bias."""
        (rows, inner), (_, columns) = self._sizes(node)
        count = rows * columns
        if not isinstance(count, int) or not isinstance(inner, int):
            return Flops()
        return Flops(2 * count * inner, count if node.has(2) else 0)

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """Weights and bias."""
        return (1, 2)

    def source(self, node: Node) -> Source | None:
        """``nn.Linear``, or as an expression where B or C is no constant or something is scaled."""
        alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
        _, (inner, columns) = self._sizes(node)
        plain = alpha == beta == 1.0 and not node.integer("transA", 0)
        learned = range(1, 3 if node.has(2) else 2)
        plain = plain and not any(node.input(index).is_data for index in learned)
        plain = plain and isinstance(inner, int) and isinstance(columns, int)
        if not plain or (node.has(2) and node.shape(2) != (columns,)):
            a, b = (
                f"{{{index}}}.T" if node.integer(name, 0) else f"{{{index}}}"
                for index, name in enumerate(("transA", "transB"))
            )
            call = f"{a} @ {b}" if alpha == 1 else f"{alpha:.7g} * ({a} @ {b})"
            if node.has(2):
                call += " + {2}" if beta == 1 else f" + {beta:.7g} * {{2}}"
            return Source(call)
        bias = "" if node.has(2) else ", bias=False"
        weights = {"weight": 1} | ({"bias": 2} if node.has(2) else {})
        transposed = () if node.integer("transB", 0) else ("weight",)
        module = f"nn.Linear({inner}, {columns}{bias})"
        return Source("{module}({0})", module, weights, transposed)

    def _sizes(self, node: Node) -> tuple[tuple[Size, Size], tuple[Size, Size]]:
        a, b = node.shape(0), node.shape(1)
        if len(a) != 2 or len(b) != 2:
            raise node.fault(f"inputs of {len(a)} and {len(b)} axes, not 2")
        return (
            (a[1], a[0]) if node.integer("transA", 0) else (a[0], a[1]),
            (b[1], b[0]) if node.integer("transB", 0) else (b[0], b[1]),
        )
