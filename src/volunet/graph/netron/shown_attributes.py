"""Attributes as they are written in a node, in the types that ONNX gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from volunet.errors import ReverseError
from volunet.graph.netron.draft import DraftNode
from volunet.graph.netron.lines import ShownLine, read_integers, read_real
from volunet.graph.netron.notes import Notes
from volunet.graph.netron.schema import AttrType, Definition

_TEXTS: Final = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
    "tf_half_pixel_for_nn", "tf_crop_and_resize", "round_prefer_ceil", "round_prefer_floor",
    "SAME_UPPER", "SAME_LOWER", "bidirectional", "not_smaller", "not_larger",
)  # fmt: skip
"""Values of text attributes, by which one that is cut off is completed; a default comes last, since
Netron does not show defaults."""


def read_attribute(
    node: DraftNode, line: ShownLine, definition: Definition, notes: Notes, where: str | Path
) -> None:
    """Read an attribute into a node; of a list that is cut off, what is shown of it.

    Raises:
        ReverseError: It is not of the type that it should be.
    """
    value, kind = line.value or "", definition.attributes[line.name]
    read: Any = None
    if kind == AttrType.INTS:
        numbers = read_integers(value, is_cut=line.is_cut)
        if line.is_cut and numbers:
            node.cut[line.name] = numbers
            return
        read = numbers
    elif kind == AttrType.INT:
        numbers = read_integers(value, is_cut=False)
        read = numbers[0] if numbers and len(numbers) == 1 else None
    elif kind == AttrType.FLOAT:
        read = _real(node, line, definition, notes)
    elif kind == AttrType.STRING:
        read = next((t for t in _TEXTS if line.is_cut and t.startswith(value)), value)
    elif kind == AttrType.FLOATS and not line.is_cut:
        parts = [read_real(part, is_cut=False) for part in value.split(",")]
        read = None if None in parts else parts
    elif kind in (AttrType.TENSOR, AttrType.GRAPH, AttrType.TENSORS, AttrType.STRINGS):
        return
    if read is None:
        raise ReverseError(
            where,
            f"{node}: attribute {line.name} is '{line.value}'{', cut off' if line.is_cut else ''}",
            f"{line.name} of {node.op_type} is of type {str(kind).rpartition('.')[2]}.",
            "Export the picture from Netron again, or give the ONNX file.",
        )
    node.attributes[line.name] = read


def _real(node: DraftNode, line: ShownLine, definition: Definition, notes: Notes) -> float | None:
    number = read_real(line.value or "", is_cut=line.is_cut)
    if number is None or not line.is_cut:
        return number
    if line.name == "epsilon" and number >= 1:
        number = 1e-6  # the next power below the default that has an exponent, which is cut off
        notes.infer("epsilon 1e-6: its exponent is cut off in the picture", node.op_type)
    else:
        notes.infer(f"{line.name} {number:g}, which is cut off in the picture", node.op_type)
    return number
