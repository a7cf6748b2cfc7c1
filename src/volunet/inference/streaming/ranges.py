"""Operators on a range of slices: what of a node changes when an engine runs it on some slices.

On the streamed axis an operator's own padding is done by what it is fed (`windows`); its sizes are
those of the range. Every other axis stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from volunet.graph.node import Node
from volunet.graph.operators.conv import conv_windows
from volunet.graph.operators.conv_transpose import transposed_windows
from volunet.graph.operators.pad import paddings
from volunet.graph.operators.pool import pool_windows
from volunet.graph.operators.slice import axis_slices
from volunet.inference.streaming.fixed import Array, FixedGraph, Step, copy_of
from volunet.inference.streaming.windows import transposed_range

_TO_THE_END: Final = 2**31 - 1


@dataclass
class Range:
    """What a node is run on.

    Attributes:
        fixed: The graph that it is of.
        axis: The axis of its outputs that is streamed.
        length: Slices of its output.
        constants: Constants that the changed node reads, to be added to.
    """

    fixed: FixedGraph
    axis: int
    length: int
    constants: dict[str, Array] = field(default_factory=dict)

    def constant(self, name: str, array: Array) -> str:
        """Add a constant under a name of its own."""
        self.constants[name] = array
        return name


def on_range(step: Step, where: Range, names: dict[str, str]) -> ir.Node:
    """A node as it computes a range of its slices.

    Args:
        step: The node.
        where: The range.
        names: Other names for some of its inputs.
    """
    change = _CHANGES.get(step.rule.op_type)
    node = copy_of(step.node, names=names)
    return node if change is None else change(node, step.rule, where)


def _conv(node: ir.Node, rule: Node, where: Range) -> ir.Node:
    windows = conv_windows(rule) if rule.op_type == "Conv" else pool_windows(rule)
    pads = [w.begin for w in windows] + [w.end for w in windows]
    own = where.axis - 2
    pads[own] = pads[len(windows) + own] = 0
    return _with(node, {"pads": pads}, without=("auto_pad",))


def _conv_transpose(node: ir.Node, rule: Node, where: Range) -> ir.Node:
    windows = transposed_windows(rule)
    own = where.axis - 2
    begin, end, added = transposed_range(windows[own].span(), where.length)
    begins = [begin if axis == own else w.begin for axis, w in enumerate(windows)]
    ends = [end if axis == own else w.end for axis, w in enumerate(windows)]
    padding = [added if axis == own else w.output_padding for axis, w in enumerate(windows)]
    changed = {"pads": begins + ends, "output_padding": padding}
    return _with(node, changed, without=("auto_pad", "output_shape"))


def _pad(node: ir.Node, rule: Node, where: Range) -> ir.Node:
    pads = [(0, 0) if axis == where.axis else pair for axis, pair in enumerate(paddings(rule))]
    numbers = [begin for begin, _ in pads] + [end for _, end in pads]
    if not any(numbers):
        return _identity(node)
    if rule.opset < 11:
        return _with(node, {"pads": numbers})
    name = where.constant(f"{rule.name}.pads", np.array(numbers, np.int64))
    inputs = [node.inputs[0], ir.Value(name=name), *node.inputs[2:3]]
    return _remade(node, inputs)


def _slice(node: ir.Node, rule: Node, where: Range) -> ir.Node:
    starts: list[int] = []
    ends: list[int] = []
    steps: list[int] = []
    axes: list[int] = []
    for axis, part in axis_slices(rule).items():
        start, stop, step = int(part.start), int(part.stop), part.step  # type: ignore[arg-type]
        if axis == where.axis:
            if step == 1:
                continue
            start, stop = 0, _TO_THE_END
        elif step < 0 and stop < 0:
            stop = -_TO_THE_END
        for numbers, number in ((starts, start), (ends, stop), (steps, step), (axes, axis)):
            numbers.append(number)
    if not axes:
        return _identity(node)
    if rule.opset < 10:
        return _with(node, {"starts": starts, "ends": ends, "axes": axes})
    inputs = [node.inputs[0]]
    for what, numbers in (("starts", starts), ("ends", ends), ("axes", axes), ("steps", steps)):
        name = where.constant(f"{rule.name}.{what}", np.array(numbers, np.int64))
        inputs.append(ir.Value(name=name))
    return _remade(node, inputs)


def _reshape(node: ir.Node, rule: Node, where: Range) -> ir.Node:
    shape = [size for size in rule.outputs[0].shape or () if isinstance(size, int)]
    shape[where.axis] = where.length
    name = where.constant(f"{rule.name}.shape", np.array(shape, np.int64))
    return _remade(node, [node.inputs[0], ir.Value(name=name)])


def _resize(node: ir.Node, rule: Node, where: Range) -> ir.Node:
    """By scales or sizes, whichever it has; as it is along the axis."""
    place = 1 if rule.op_type == "Upsample" or rule.opset < 11 else 2
    shape, out = rule.numbers(), rule.outputs[0].shape or ()
    if all(have == want for axis, (have, want) in enumerate(zip(shape, out, strict=True))
           if axis != where.axis):  # fmt: skip
        return _identity(node)
    axes = rule.integers("axes") or tuple(range(len(shape)))
    given = None if rule.has(3) and rule.sizes(3) else rule.values(place)
    if given is None and "scales" not in rule.attributes:
        sizes = [where.length if axis == where.axis else size for axis, size in enumerate(out)]
        name = where.constant(f"{rule.name}.sizes", np.array(sizes, np.int64))
        inputs = [node.inputs[0], None, None, ir.Value(name=name)]
        return _remade(node, inputs, without=("axes",))
    factors = np.ones(len(shape), np.float32)
    listed: Any = rule.attributes["scales"] if given is None else given
    for axis, factor in zip(axes, listed, strict=True):
        factors[axis] = 1.0 if axis == where.axis else float(factor)
    if given is None:
        return _with(node, {"scales": [float(factor) for factor in factors]})
    name = where.constant(f"{rule.name}.scales", factors)
    roi = [] if place == 1 else [None]
    return _remade(node, [node.inputs[0], *roi, ir.Value(name=name)], without=("axes",))


def _identity(node: ir.Node) -> ir.Node:
    outputs = [ir.Value(name=value.name) for value in node.outputs]
    return ir.Node("", "Identity", [node.inputs[0]], outputs=outputs, name=node.name)


def _with(node: ir.Node, changed: dict[str, Any], without: tuple[str, ...] = ()) -> ir.Node:
    kept = [a for name, a in node.attributes.items() if name not in (*changed, *without)]
    added = [ir.convenience.convert_attribute(name, value) for name, value in changed.items()]
    return copy_of(node, [*kept, *added])


def _remade(node: ir.Node, inputs: list[ir.Value | None], without: tuple[str, ...] = ()) -> ir.Node:
    kept = [a for name, a in node.attributes.items() if name not in without]
    outputs = [ir.Value(name=value.name) for value in node.outputs]
    return ir.Node("", node.op_type, inputs, kept, outputs=outputs, name=node.name)


_CHANGES: Final[dict[str, Callable[[ir.Node, Node, Range], ir.Node]]] = {
    "Conv": _conv,
    "MaxPool": _conv,
    "AveragePool": _conv,
    "ConvTranspose": _conv_transpose,
    "Pad": _pad,
    "Slice": _slice,
    "Reshape": _reshape,
    "Expand": _reshape,
    "Resize": _resize,
    "Upsample": _resize,
}
