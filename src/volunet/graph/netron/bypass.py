"""Pads and slices whose numbers are not in the picture, left out, and with them what counts sizes.

A network that takes any size pads its input and crops its output by what it computes from the
input's size. A picture shows that arithmetic, but not the numbers in it. What is left without it is
the same network for the sizes at which padding and cropping do nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from volunet.graph.netron.notes import Notes
from volunet.graph.netron.sketch import Sketch, SketchedNode

_LEFT_OUT: Final = ("Pad", "Slice")


def size_values(sketch: Sketch) -> set[str]:
    """Values that depend on the sizes of tensors and on constants, but on no tensor's content."""
    found: set[str] = set()
    for node in sketch.nodes:
        if node.op_type in ("Shape", "Size") or all(name in found for name in node.inputs):
            found.update(node.outputs)
    return found


def leave_out_unknown_crops(sketch: Sketch, notes: Notes) -> None:
    """Leave out the pads and slices whose numbers are not shown, and what only they need."""
    counted = size_values(sketch)
    instead: dict[str, str] = {}
    count: Counter[str] = Counter()
    kept: list[SketchedNode] = []
    for node in sketch.nodes:
        node.inputs = [instead.get(name, name) for name in node.inputs]
        data = [name for name in node.inputs if name not in counted]
        if len(data) == 1 and _is_unknown(node) and not _changes_shape(sketch, node, data[0]):
            instead[node.outputs[0]] = data[0]
            count[node.op_type] += 1
        else:
            kept.append(node)
    if not count:
        return
    shown = {node: sketch.shapes.get(node) for node in sketch.outputs}
    sketch.outputs = [instead.get(name, name) for name in sketch.outputs]
    for old, new in zip(shown, sketch.outputs, strict=False):
        shape = shown[old]
        if shape is not None:
            sketch.shapes.setdefault(new, shape)
    sketch.nodes = _needed(kept, set(sketch.outputs))
    names = ", ".join(f"{number} {op_type}" for op_type, number in count.items())
    notes.leave(
        f"by how much {names} pad and crop: their numbers are not in the picture. They are left "
        "out, with what counts sizes for them, so that the network here is the one for sizes at "
        "which they do nothing"
    )


def _is_unknown(node: SketchedNode) -> bool:
    if node.op_type not in _LEFT_OUT:
        return False
    return len(node.inputs) > 1 or any(line.shape is not None for line in node.lines)


def _changes_shape(sketch: Sketch, node: SketchedNode, data: str) -> bool:
    """Whether the shapes beside its edges say that it does something."""
    before, after = sketch.shapes.get(data), sketch.shapes.get(node.outputs[0])
    return before is not None and after is not None and before != after


def _needed(nodes: list[SketchedNode], wanted: set[str]) -> list[SketchedNode]:
    """The nodes that others, or the outputs, still read."""
    needed = []
    for node in reversed(nodes):
        if any(name in wanted for name in node.outputs):
            wanted.update(node.inputs)
            needed.append(node)
    return needed[::-1]
