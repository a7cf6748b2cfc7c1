"""Convolution."""

from __future__ import annotations

from volunet.graph.node import Node
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Role,
    SizeWriter,
    Source,
    count_elements,
)
from volunet.graph.operators.windows import AxisWindow, repeat, windows_of
from volunet.graph.sizes import Size, floor_div
from volunet.graph.spans import Pointwise, Whole
from volunet.graph.tensors import Tensor


class Conv(Operator):
    """``Conv``, in 1D, 2D and 3D, grouped, dilated, padded differently in front and behind.

    Size on each axis: ⌊(d + begin + end − dilation·(kernel − 1) − 1) / stride⌋ + 1.

    Source:
        https://onnx.ai/onnx/operators/onnx__Conv.html,
        https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv3d.html
    """

    role: Role = "convolution"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """(N, C, …) and weights (K, C / group, …) → (N, K, …)."""
        x, weight = node.shape(0, at_least=3), node.shape(1, at_least=3)
        group = node.count("group", 1)
        node.require(
            "==", x[1], weight[1] * group, "channels of the input and those of the weights"
        )
        each = floor_div(weight[0], group)
        node.require("==", weight[0], each * group, f"kernels and {group} equal groups of them")
        sizes = [w.size(d) for w, d in zip(conv_windows(node), x[2:], strict=True)]
        return (node.output((x[0], weight[0], *sizes)),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """A window on a spatial axis; all channels of a group, hence all, for each channel."""
        if index > 0:
            return weight_read(node, index, axis, out_axis=0)
        if axis == 0:
            return Read(0, Pointwise())
        if axis == 1:
            channels = node.numbers(index)[1]
            depthwise = channels == node.count("group", 1) == node.shape(1)[0]
            return Read(1, Pointwise() if depthwise else Whole(channels))
        return Read(axis, conv_windows(node)[axis - 2].span())

    def flops(self, node: Node) -> Flops:
        """2·N·K·(C / group)·kernel·output voxels, and one addition a voxel for the bias."""
        out = count_elements(node.outputs[0].shape)
        products = 2 * out * count_elements(node.shape(1)[1:])
        return Flops(products, out if node.has(2) else 0)

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """Weights and bias."""
        return (1, 2)

    def source(self, node: Node) -> Source | None:
        """``nn.Conv3d``, behind ``F.pad`` where the padding differs front and back or is a formula.

        None where weights or bias are no constants.
        """
        if any(tensor is not None and tensor.is_data for tensor in node.inputs[1:]):
            return None
        windows = conv_windows(node)
        weight = node.numbers(1)
        group = node.count("group", 1)
        arguments = [str(weight[1] * group), str(weight[0]), *window_arguments(windows)]
        writer = SizeWriter()
        call = "{module}({0})"
        if any(not w.has_torch_padding for w in windows):
            call = f"{{module}}(F.pad({{0}}, [{writer.listed(_pad_list(windows))}]))"
        elif any(w.begin != 0 for w in windows):
            arguments.append(f"padding={repeat(tuple(w.begin for w in windows))}")
        if group != 1:
            arguments.append(f"groups={group}")
        if not node.has(2):
            arguments.append("bias=False")
        weights = {"weight": 1} | ({"bias": 2} if node.has(2) else {})
        module = f"nn.Conv{len(windows)}d({', '.join(arguments)})"
        return Source(call, module, weights, sizes=writer.formulas)


def conv_windows(node: Node) -> tuple[AxisWindow, ...]:
    """The windows of a convolution; the kernel is the weights' where no attribute says it."""
    kernel = node.integers("kernel_shape") or node.numbers(1)[2:]
    return windows_of(node, kernel)


def weight_read(node: Node, index: int, axis: int, out_axis: int) -> Read:
    """How weights and bias are read: by the output's channels; all slices of the other axes.

    Args:
        node: A convolution.
        index: 1 for the weights, 2 for the bias.
        axis: An axis of theirs.
        out_axis: The weights' axis that is the output's channels.
    """
    if index == 2 or axis == out_axis:
        return Read(1, Pointwise())
    return Read(None, Whole(node.numbers(index)[axis]))


def window_arguments(windows: tuple[AxisWindow, ...]) -> list[str]:
    """Kernel, and stride and dilation where they are not 1, as PyTorch source."""
    arguments = [f"kernel_size={repeat(tuple(w.kernel for w in windows))}"]
    if any(w.stride != 1 for w in windows):
        arguments.append(f"stride={repeat(tuple(w.stride for w in windows))}")
    if any(w.dilation != 1 for w in windows):
        arguments.append(f"dilation={repeat(tuple(w.dilation for w in windows))}")
    return arguments


def _pad_list(windows: tuple[AxisWindow, ...]) -> list[Size]:
    """Padding in F.pad's order: the last axis first."""
    return [side for w in reversed(windows) for side in (w.begin, w.end)]
