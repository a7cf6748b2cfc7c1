"""Dilated transposed convolutions as what they are: a small convolution, and gaps between.

Where stride and dilation share a factor g, only every g-th output slice is met by any tap; the
others are the bias. The slices that are met are a convolution of the input's own size, which every
engine has a fast kernel for; a transposed convolution with a single tap puts them in their places.
Engines compute a dilated one with columns of all taps, whose matrix is as large as all of them
together and most of which meet nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
import onnx_ir as ir

from volunet.graph.operators.conv_transpose import AxisTransposed, transposed_windows
from volunet.inference.streaming.fixed import Array, FixedGraph, Step


@dataclass(frozen=True)
class _AxisSpread:
    """One axis: a convolution of kernel k, and places g slices apart."""

    dilation: int
    begin: int
    end: int
    factor: int
    offset: int
    cut: int
    added: int


def write_small(fixed: FixedGraph, step: Step, constants: dict[str, Array]) -> list[ir.Node] | None:
    """Write a dilated transposed convolution as a convolution and a transposed one of one tap.

    Args:
        fixed: The graph.
        step: Any node.
        constants: Weights of the new nodes, to be added to.

    Returns:
        The two nodes; None where the node is no such convolution.
    """
    rule = step.rule
    if rule.op_type != "ConvTranspose" or rule.integer("group", 1) != 1:
        return None
    weight = fixed.constants.get(rule.input(1).name)
    out = fixed.shapes[step.outputs[0]]
    shape = rule.numbers()
    if weight is None:
        return None
    axes = [
        _axis(window, have, want)
        for window, have, want in zip(transposed_windows(rule), shape[2:], out[2:], strict=True)
    ]
    found = [axis for axis in axes if axis is not None]
    if len(found) < len(axes) or all(axis.factor == 1 for axis in found):
        return None
    name = step.outputs[0]
    spatial = tuple(range(2, weight.ndim))
    constants[f"{name}.weight"] = np.ascontiguousarray(np.flip(weight, spatial).swapaxes(0, 1))
    channels = weight.shape[1]
    taps = np.zeros((channels, channels, *(axis.factor for axis in found)), weight.dtype)
    for channel in range(channels):
        taps[(channel, channel, *(axis.offset for axis in found))] = 1
    constants[f"{name}.taps"] = taps
    bias = [rule.input(2).name] if rule.has(2) else []
    return [
        _node(
            "Conv", [rule.input(0).name, f"{name}.weight"], f"{name}.met",
            kernel_shape=list(weight.shape[2:]), dilations=[axis.dilation for axis in found],
            pads=[axis.begin for axis in found] + [axis.end for axis in found],
        ),
        _node(
            "ConvTranspose", [f"{name}.met", f"{name}.taps", *bias], name,
            kernel_shape=[axis.factor for axis in found], strides=[axis.factor for axis in found],
            pads=[0] * len(found) + [axis.cut for axis in found],
            output_padding=[axis.added for axis in found],
        ),
    ]  # fmt: skip


def _axis(window: AxisTransposed, size: int, out_size: int) -> _AxisSpread | None:
    """The two convolutions on one axis; None where they would have to cut off in front."""
    factor, begin = gcd(window.stride, window.dilation), window.begin
    if factor != window.stride or not isinstance(begin, int):
        return None
    dilation = window.dilation // factor
    first = -(-begin // factor)
    last = (begin + out_size - 1) // factor
    pads = ((window.kernel - 1) * dilation - first, last - size + 1)
    if min(pads) < 0 or last < first:
        return None
    reached = factor * (last - first + 1)
    return _AxisSpread(
        dilation,
        *pads,
        factor,
        factor * first - begin,
        max(reached - out_size, 0),
        max(out_size - reached, 0),
    )


def _node(op_type: str, inputs: list[str], output: str, **attributes: list[int]) -> ir.Node:
    return ir.Node(
        "", op_type, [ir.Value(name=name) for name in inputs],
        [ir.AttrInt64s(name, numbers) for name, numbers in attributes.items()],
        outputs=[ir.Value(name=output)], name=f"{output}.{op_type}",
    )  # fmt: skip
