"""Group norm."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.epsilon import epsilon_argument
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Role,
    SizeWriter,
    Source,
    element_flops,
)
from volunet.graph.sizes import floor_div, product
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


class GroupNormalization(Operator):
    """``GroupNormalization``; size on each axis: d. Statistics of groups of channels.

    Source:
        https://onnx.ai/onnx/operators/onnx__GroupNormalization.html
    """

    role: Role = "normalisation"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The input's shape."""
        x, scale = node.shape(at_least=2), node.shape(1, at_least=1)
        groups = node.count("num_groups", 0)
        each = floor_div(x[1], groups)
        node.require("==", x[1], each * groups, f"channels and {groups} equal groups of them")
        wanted = x[1] if node.opset >= 21 else groups
        node.require("==", scale[0], wanted, "numbers of the scale and of what it scales")
        return (node.output(x),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """All slices but on the batch's axis."""
        if index > 0:
            by_channel = node.opset >= 21
            return Read(1, Pointwise()) if by_channel else Read(None, Whole(node.numbers(1)[0]))
        return Read(axis, Pointwise() if axis == 0 else Whole(node.numbers()[axis]))

    def flops(self, node: Node) -> Flops:
        """As an instance norm."""
        return element_flops(node, 6)

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """Scale and bias."""
        return (1, 2)

    def source(self, node: Node) -> Source | None:
        """``nn.GroupNorm``; a function where scale and bias are by group (opset 18).

        So too where they are no constants, or a group is a single element, which the module
        refuses.
        """
        shape, groups = node.shape(), node.count("num_groups", 1)
        channels = node.shape(1)[0] if node.opset >= 21 else shape[1]
        by_channel = node.shape(1) == (channels,)
        each = floor_div(channels, groups)
        is_constant = not any(node.input(index).is_data for index in (1, 2))
        is_single = each * product(shape[2:]) == 1
        if not (by_channel and is_constant and isinstance(channels, int)) or is_single:
            writer = SizeWriter()
            repeated = "" if by_channel else f".repeat_interleave({writer.text(each)})"
            scale, bias = (f"{{{i}}}{repeated}" for i in (1, 2))
            given = ", ".join(["{0}", str(groups), scale, bias, *epsilon_argument(node)])
            return Source(f"torch.group_norm({given})", sizes=writer.formulas)
        arguments = [str(groups), str(channels), *epsilon_argument(node)]
        return Source(
            "{module}({0})", f"nn.GroupNorm({', '.join(arguments)})", {"weight": 1, "bias": 2}
        )
