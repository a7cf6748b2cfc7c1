"""`read_netron`: a picture of a network → `Picture`, its model and what is known of it how."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from volunet.graph.netron.completion import complete
from volunet.graph.netron.draft import Draft
from volunet.graph.netron.drafting import draft_of
from volunet.graph.netron.drawing import read_drawing
from volunet.graph.netron.ink import read_ink
from volunet.graph.netron.notes import Notes
from volunet.graph.netron.sketch import Sketch, read_sketch
from volunet.graph.netron.svg_file import read_svg


@dataclass(frozen=True)
class Picture:
    """A network read from a picture.

    Attributes:
        model: The network, complete: nodes in an order in which they can run, weights of the shapes
            that are shown, all zeros but for constants that are shown.
        seen: What the picture shows.
        inferred: What was inferred, and why.
        unknown: What cannot be known.
    """

    model: ir.Model
    seen: tuple[str, ...]
    inferred: tuple[str, ...]
    unknown: tuple[str, ...]


def read_netron(path: str | Path) -> Picture:
    """Read a network from a picture that Netron exported.

    Args:
        path: The SVG file, as Netron wrote it or saved again by an editor or an optimiser.

    Raises:
        ConfigError: There is no such file.
        ReverseError: It is no whole SVG file, no picture of Netron's, or what it shows is no
            network: an edge ends nowhere, the edges form a cycle, or sizes cannot agree.
    """
    ink = read_ink(read_svg(path))
    sketch = read_sketch(read_drawing(ink), path, ink.bitmaps)
    seen = _graph_seen(sketch)
    notes = Notes()
    draft = draft_of(sketch, notes)
    seen += _details_seen(draft)
    model = complete(draft)
    return Picture(model, seen, notes.inferred, notes.unknown)


def _graph_seen(sketch: Sketch) -> tuple[str, ...]:
    """Operators and edges that the picture shows."""
    operators = Counter(node.op_type for node in sketch.nodes)
    kinds = ", ".join(f"{count} {op_type}" for op_type, count in operators.most_common())
    edges = sum(len(node.inputs) for node in sketch.nodes) + len(sketch.outputs)
    return f"{len(sketch.nodes)} operators: {kinds}", f"{edges} edges"


def _details_seen(draft: Draft) -> tuple[str, ...]:
    """What the picture shows of each."""
    weights = list(draft.weights.values())
    numbers = sum(weight.values is not None for weight in weights)
    parts = {
        f"the shapes of {len(weights) - numbers} weights": len(weights) > numbers,
        f"{numbers} constants that are one number": numbers > 0,
        "attributes": draft.attributes_shown,
        "no attributes": not draft.attributes_shown,
        "names of the nodes": draft.sketch.node_names_shown,
        f"the shapes of {len(draft.sketch.shapes)} tensors": bool(draft.sketch.shapes),
    }
    return tuple(text for text, is_seen in parts.items() if is_seen)
