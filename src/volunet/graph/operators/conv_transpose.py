"""Transposed convolution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from volunet.graph.bounds import maximum
from volunet.graph.node import Node
from volunet.graph.operators.conv import weight_read
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Role,
    SizeWriter,
    Source,
    count_elements,
)
from volunet.graph.operators.windows import repeat
from volunet.graph.sizes import Size, floor_div
from volunet.graph.spans import Pointwise, TransposedWindow, Whole
from volunet.graph.tensors import Tensor

TRANSPOSED_FORMULA: Final = (
    "({input} − 1)·{stride} − {begin} − {end} + {dilation}·({kernel} − 1) + {output_padding} + 1"
)
"""Output size, of the numbers of `AxisTransposed`."""


@dataclass(frozen=True)
class AxisTransposed:
    """A transposed convolution on one axis.

    Attributes:
        kernel: Taps.
        stride: Output slices from one input slice to the next.
        dilation: Output slices from one tap to the next.
        begin: Output slices cut off in front.
        end: Output slices cut off behind.
        output_padding: Output slices added behind.
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    begin: Size = 0
    end: Size = 0
    output_padding: int = 0

    def size(self, d: Size) -> Size:
        """(d − 1)·stride − begin − end + dilation·(kernel − 1) + output_padding + 1.

        Source:
            https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose3d.html
        """
        full = (d - 1) * self.stride + self.dilation * (self.kernel - 1) + 1
        return full + self.output_padding - self.begin - self.end

    def span(self) -> TransposedWindow:
        """Which input slices output slices need, what is cut off being a number."""
        begin = self.begin if isinstance(self.begin, int) else 0
        return TransposedWindow(self.kernel, self.stride, self.dilation, begin)


class ConvTranspose(Operator):
    """``ConvTranspose``, in 1D, 2D and 3D.

    Size on each axis:
    (d − 1)·stride − begin − end + dilation·(kernel − 1) + output_padding + 1.

    Source:
        https://onnx.ai/onnx/operators/onnx__ConvTranspose.html,
        https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose3d.html
    """

    role: Role = "convolution"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """(N, C, …) and weights (C, K / group, …) → (N, K, …)."""
        x, weight = node.shape(0, at_least=3), node.shape(1, at_least=3)
        node.require("==", x[1], weight[0], "channels of the input and those of the weights")
        group = node.count("group", 1)
        each = floor_div(x[1], group)
        node.require("==", x[1], each * group, f"channels and {group} equal groups of them")
        sizes = [w.size(d) for w, d in zip(transposed_windows(node), x[2:], strict=True)]
        return (node.output((x[0], weight[1] * group, *sizes)),)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """A transposed window on a spatial axis."""
        if index > 0:
            # With groups the output has more channels than the weights' second axis is long.
            grouped = node.count("group", 1) > 1
            return weight_read(node, index, axis, out_axis=-1 if grouped else 1)
        if axis == 0:
            return Read(0, Pointwise())
        if axis == 1:
            return Read(1, Whole(node.numbers(index)[1]))
        return Read(axis, transposed_windows(node)[axis - 2].span())

    def flops(self, node: Node) -> Flops:
        """2·N·C·(K / group)·kernel·input voxels, and one addition a voxel for the bias."""
        products = 2 * count_elements(node.numbers(0)) * count_elements(node.numbers(1)[1:])
        return Flops(products, count_elements(node.outputs[0].shape) if node.has(2) else 0)

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """Weights and bias."""
        return (1, 2)

    def source(self, node: Node) -> Source | None:
        """``nn.ConvTranspose3d``, cut by ``F.pad`` where front and back are not cut off alike.

        None where slices are added instead, or where weights or bias are no constants.
        """
        windows = transposed_windows(node)
        cuts = [side for w in reversed(windows) for side in (w.begin, w.end)]
        if any(isinstance(side, int) and side < 0 for side in cuts):
            return None
        if any(tensor is not None and tensor.is_data for tensor in node.inputs[1:]):
            return None
        call = "{module}({0})"
        writer = SizeWriter()
        if any(w.begin != w.end or not isinstance(w.begin, int) for w in windows):
            sides = writer.listed([side * -1 for side in cuts])
            call = f"F.pad({{module}}({{0}}), [{sides}])"
            windows = tuple(replace(w, begin=0, end=0) for w in windows)
        weight = node.numbers(1)
        group = node.count("group", 1)
        arguments = [str(weight[0]), str(weight[1] * group)]
        for name, default in (
            ("kernel", 0), ("stride", 1), ("begin", 0), ("output_padding", 0), ("dilation", 1),
        ):  # fmt: skip
            numbers = tuple(getattr(window, name) for window in windows)
            if any(number != default for number in numbers):
                keyword = {"kernel": "kernel_size", "begin": "padding"}.get(name, name)
                arguments.append(f"{keyword}={repeat(numbers)}")
        if group != 1:
            arguments.append(f"groups={group}")
        if not node.has(2):
            arguments.append("bias=False")
        weights = {"weight": 1} | ({"bias": 2} if node.has(2) else {})
        module = f"nn.ConvTranspose{len(windows)}d({', '.join(arguments)})"
        return Source(call, module, weights, sizes=writer.formulas)


def transposed_windows(node: Node) -> tuple[AxisTransposed, ...]:
    """The windows of a node on its spatial axes.

    ``output_shape`` says the size and leaves what is cut off to be worked out; so does ``auto_pad``
    SAME, whose output has d·stride slices. Of an odd number the larger half is cut off in front,
    with SAME_UPPER behind. Where the windows do not reach that far, nothing is cut off; to a size
    that is asked for, empty slices are added behind, as ONNX Runtime does it.

    Raises:
        ShapeError: An attribute does not have a number for each axis.

    Source:
        https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
    """
    kernel = node.integers("kernel_shape") or node.numbers(1)[2:]
    axes = len(kernel)
    strides = node.integers("strides", (1,) * axes) or ()
    dilations = node.integers("dilations", (1,) * axes) or ()
    pads = node.integers("pads", (0,) * (2 * axes)) or ()
    paddings = node.integers("output_padding", (0,) * axes) or ()
    auto_pad = node.text("auto_pad", "NOTSET")
    spatial = node.shape()[2:]
    wanted: tuple[Size, ...] | None = node.integers("output_shape")
    counts = [len(kernel), len(strides), len(dilations), len(paddings), len(pads) // 2]
    if set(counts) != {len(spatial)} or min(*strides, *dilations) < 1:
        raise node.fault(
            f"kernel {kernel}, strides {strides}, dilations {dilations}, pads {pads}, output "
            f"padding {paddings} for {len(spatial)} spatial axes"
        )
    if auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise node.fault(f"auto_pad is {auto_pad!r}")
    if wanted is not None and len(wanted) not in (axes, axes + 2):
        raise node.fault(f"output_shape {wanted} for {axes} spatial axes")
    is_given = wanted is not None
    if auto_pad in ("SAME_UPPER", "SAME_LOWER") and wanted is None:
        wanted = tuple(d * s for d, s in zip(spatial, strides, strict=True))
    windows = []
    for axis in range(axes):
        plain = AxisTransposed(
            kernel[axis], strides[axis], dilations[axis], output_padding=paddings[axis]
        )
        begin: Size = 0 if auto_pad == "VALID" else pads[axis]
        end: Size = 0 if auto_pad == "VALID" else pads[axes + axis]
        if wanted is not None:
            total = plain.size(spatial[axis]) - wanted[len(wanted) - axes + axis]
            cut = maximum(0, total)
            half = floor_div(cut, 2)
            begin = half if auto_pad == "SAME_UPPER" else cut - half
            end = (total if is_given else cut) - begin
        windows.append(
            AxisTransposed(plain.kernel, plain.stride, plain.dilation, begin, end, paddings[axis])
        )
    return tuple(windows)
