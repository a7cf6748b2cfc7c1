"""From a sketch to a draft: what is shown of each node goes to the slots of its operator."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import onnx_ir as ir

from volunet.errors import ReverseError
from volunet.graph.netron.bypass import leave_out_unknown_crops, size_values
from volunet.graph.netron.draft import Draft, DraftNode, Weight
from volunet.graph.netron.lines import ShownLine, read_real
from volunet.graph.netron.notes import Notes
from volunet.graph.netron.schema import (
    DTYPES,
    OPSETS,
    Definition,
    definition_of,
    operator_names,
)
from volunet.graph.netron.shown_attributes import read_attribute
from volunet.graph.netron.sketch import Sketch, SketchedNode


def draft_of(sketch: Sketch, notes: Notes) -> Draft:
    """Put the inputs of every node in their slots, and read its attributes.

    Raises:
        ReverseError: A line of a node is neither an input nor an attribute of its operator, or
            weights are hidden.
    """
    leave_out_unknown_crops(sketch, notes)
    opset = _opset(sketch)
    draft = Draft(sketch, opset, [], {}, False, notes, size_values(sketch))
    for node in sketch.nodes:
        definition = definition_of(node.op_type, opset)
        if definition is None:
            if node.op_type not in operator_names():
                notes.leave(f"what {node.op_type} does: it is no operator of ONNX's own")
            draft.nodes.append(DraftNode(node.op_type, node.name, node.inputs, node.outputs))
            continue
        drafted = DraftNode(node.op_type, node.name, [], node.outputs)
        _fill_slots(draft, drafted, node, definition)
        for line in node.lines:
            if line.name in definition.attributes and line.name not in definition.inputs:
                draft.attributes_shown = True
                read_attribute(drafted, line, definition, draft.notes, sketch.where)
        draft.nodes.append(drafted)
    return draft


def _opset(sketch: Sketch) -> int:
    """The first version of the operator set that has everything that is shown."""

    def missing(opset: int) -> int:
        count = 0
        for node in sketch.nodes:
            definition = definition_of(node.op_type, opset)
            if definition is None:
                count += node.op_type in operator_names()
                continue
            names = {*definition.inputs, *definition.attributes, ""}
            count += sum(line.name not in names for line in node.lines)
            data = len(node.inputs) + sum(line.name in definition.inputs for line in node.lines)
            count += data > len(definition.inputs) and not definition.is_variadic
        return count

    return min(OPSETS, key=lambda opset: (missing(opset), OPSETS.index(opset)))


_FORMER: Final = {"mean": "input_mean", "var": "input_var"}
"""Former names of inputs, and those of today."""


def _fill_slots(
    draft: Draft, node: DraftNode, sketched: SketchedNode, definition: Definition
) -> None:
    slots: dict[int, str] = {}
    for line in sketched.lines:
        name = _FORMER.get(line.name, line.name)
        if name in definition.inputs:
            slots[definition.inputs.index(name)] = _weight(draft, node, line, name, definition)
    # What is made of constants and sizes alone stands for a weight or a shape: those come last.
    data = sorted(sketched.inputs, key=lambda name: name in draft.constant)
    index = 0
    while data:
        if index not in slots:
            slots[index] = data.pop(0)
        index += 1
    needed = _MOST_DATA.get(node.op_type, 0)
    if needed == 2 and len(slots) == 1 and not any(not line.name for line in sketched.lines):
        # Netron draws one edge between two nodes, however many inputs it stands for.
        slots[1] = slots[0]
        draft.notes.infer("both inputs are the one value that enters it", node.op_type)
    if any(not line.name and line.value is None for line in sketched.lines):
        raise ReverseError(
            draft.sketch.where,
            f"{node} reads constants of which the picture shows neither shape nor place (〈…〉)",
            "Every input of an operator is an edge or a constant with its shape.",
            "Such a network cannot be read from its picture: give the ONNX file.",
        )
    node.inputs = [slots.get(place, "") for place in range(max(slots, default=-1) + 1)]
    missing = [place for place in range(definition.least_inputs) if not slots.get(place)]
    if missing:
        name = definition.inputs[min(missing[0], len(definition.inputs) - 1)]
        raise ReverseError(
            draft.sketch.where,
            f"{node} shows no input {name}: neither an edge nor a constant",
            f"{node.op_type} reads {', '.join(definition.inputs[: definition.least_inputs])}.",
            "In Netron choose View > Show Weights, and export the picture again.",
        )


_MOST_DATA: Final = {"Add": 2, "Sub": 2, "Mul": 2, "Div": 2, "Concat": 2, "MatMul": 2, "Pow": 2}


def _weight(
    draft: Draft, node: DraftNode, line: ShownLine, name: str, definition: Definition
) -> str:
    if math.prod(line.shape or ()) > _MOST_ELEMENTS:
        raise ReverseError(
            draft.sketch.where,
            f"{node}: {name} of {'×'.join(map(str, line.shape or ()))}",
            f"A weight has at most {_MOST_ELEMENTS:.0e} elements.",
            "The picture was edited; export it from Netron again.",
        )
    default = ir.DataType.INT64 if name in definition.whole else ir.DataType.FLOAT
    dtype = DTYPES.get(line.dtype, default)
    values = None
    shape = line.shape or ()
    if line.value is not None:
        number = read_real(line.value, is_cut=line.is_cut)
        if line.value in ("true", "false"):
            number = float(line.value == "true")
        if number is None:
            number = 0.0
        if line.is_cut:
            draft.notes.infer(f"constant {name} = {number:g}, which is cut off", node.op_type)
        values = np.array(number, dtype.numpy())
    own = weight_name(node.name, node.op_type, name)
    free, count = own, 0
    while free in draft.weights:
        count += 1
        free = f"{own}_{count}"
    draft.weights[free] = Weight(shape, dtype, values)
    return free


_MOST_ELEMENTS: Final = 10**12

_PARAMETERS: Final = {
    "W": "weight", "scale": "weight", "slope": "weight", "input_mean": "running_mean",
    "input_var": "running_var",
}  # fmt: skip


def weight_name(node: str, op_type: str, name: str) -> str:
    """The name of a weight as PyTorch would have it, from the name of its node.

    Example:
        >>> weight_name("/encoder_1/doubleConv/doubleConv.0/Conv", "Conv", "W")
        'encoder_1.doubleConv.0.weight'
    """
    parameter = _PARAMETERS.get(name, "bias" if name in ("B", "bias") else name)
    if op_type == "Gemm":
        parameter = {"B": "weight", "C": "bias"}.get(name, name)
    if "/" not in node:
        return f"{node}.{parameter}"
    parts: list[str] = []
    for part in node.strip("/").split("/")[:-1]:
        if parts and part.startswith(parts[-1] + "."):
            parts[-1] = part
        else:
            parts.append(part)
    return ".".join([*parts, parameter]) if parts else f"{node.strip('/')}.{parameter}"
