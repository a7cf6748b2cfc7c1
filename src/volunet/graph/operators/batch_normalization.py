"""Batch norm."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.epsilon import epsilon_argument
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Role,
    Source,
    element_flops,
)
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


def in_training(node: Node) -> bool:
    """Whether a batch norm uses its batch's own statistics.

    Before opset 14 no attribute says so: then a node in training has more outputs than one.
    """
    return node.integer("training_mode", 0) != 0 or any(node.output_names[1:])


class BatchNormalization(Operator):
    """``BatchNormalization``; size on each axis: d.

    With fixed statistics each element stands for itself. In training the statistics are of the
    whole batch.

    Source:
        https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
    """

    role: Role = "normalisation"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The input's shape; running statistics, where asked for, have a number a channel."""
        x = node.shape(at_least=2)
        node.require(
            "==", x[1], node.shape(1, at_least=1)[0], "channels of the input and of the scale"
        )
        outputs = [node.output(x)]
        for index in range(1, len(node.output_names)):
            outputs.append(node.output(node.shape(3), index=index, dtype=node.input(3).dtype))
        return tuple(outputs)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """The same slice; all of them in training mode, but for the channels."""
        if index > 0:
            return Read(1, Pointwise())
        own = not in_training(node) or axis == 1
        return Read(axis, Pointwise() if own else Whole(node.numbers()[axis]))

    def flops(self, node: Node) -> Flops:
        """A multiplication and an addition for each element: the rest is computed beforehand."""
        return element_flops(node, 2)

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """Scale and bias; the running statistics are counted, not learned."""
        return (1, 2)

    def source(self, node: Node) -> Source | None:
        """``nn.BatchNorm3d``; None in training mode, which is no network to be used."""
        if in_training(node):
            return None
        dimensions = max(len(node.shape()) - 2, 1)
        arguments = [str(node.numbers(1)[0]), *epsilon_argument(node)]
        weights = {"weight": 1, "bias": 2, "running_mean": 3, "running_var": 4}
        module = f"nn.BatchNorm{dimensions}d({', '.join(arguments)})"
        return Source("{module}({0})", module, weights)
