"""Instance norm."""

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
from volunet.graph.sizes import product
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


class InstanceNormalization(Operator):
    """``InstanceNormalization``; size on each axis: d. Statistics of each channel's whole volume.

    Source:
        https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html
    """

    role: Role = "normalisation"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The input's shape."""
        x = node.shape(at_least=3)
        node.require(
            "==", x[1], node.shape(1, at_least=1)[0], "channels of the input and of the scale"
        )
        return (node.output(x),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """All slices of a spatial axis."""
        if index > 0:
            return Read(1, Pointwise())
        return Read(axis, Pointwise() if axis < 2 else Whole(node.numbers()[axis]))

    def flops(self, node: Node) -> Flops:
        """Two for the mean and the variance each, then as a batch norm."""
        return element_flops(node, 6)

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """Scale and bias."""
        return (1, 2)

    def source(self, node: Node) -> Source | None:
        """``nn.InstanceNorm3d``; ``F.instance_norm`` where scale or bias is no constant.

        Of a single voxel, which these refuse, a group norm's function.
        """
        channels, writer = node.shape(1)[0], SizeWriter()
        if product(node.shape()[2:]) == 1:
            given = ["{0}", writer.text(channels), "{1}", "{2}", *epsilon_argument(node)]
            return Source(f"torch.group_norm({', '.join(given)})", sizes=writer.formulas)
        if node.input(1).is_data or node.input(2).is_data or not isinstance(channels, int):
            given = ["{0}", "weight={1}", "bias={2}", *epsilon_argument(node)]
            return Source(f"F.instance_norm({', '.join(given)})")
        arguments = [str(channels), *epsilon_argument(node), "affine=True"]
        module = f"nn.InstanceNorm{len(node.shape()) - 2}d({', '.join(arguments)})"
        return Source("{module}({0})", module, {"weight": 1, "bias": 2})
