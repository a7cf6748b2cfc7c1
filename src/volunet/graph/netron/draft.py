"""A graph on the way from a sketch to a model: inputs in their slots, attributes as values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from volunet.graph.netron.lines import Dimension
from volunet.graph.netron.notes import Notes
from volunet.graph.netron.sketch import Sketch


@dataclass
class Weight:
    """A constant.

    Attributes:
        shape: Its shape.
        dtype: Its element type.
        values: Its elements, where they are known; else zeros stand for them.
    """

    shape: tuple[int, ...]
    dtype: ir.DataType
    values: NDArray[Any] | None = None


@dataclass
class DraftNode:
    """An operator, its attributes as far as they are known.

    Attributes:
        op_type: The operator.
        name: Its name.
        inputs: Names of values and weights in their slots, empty where one is left out.
        outputs: Names of its outputs.
        attributes: Its attributes.
        cut: Of lists that are cut off in the picture, what is shown.
    """

    op_type: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.op_type} '{self.name}'"


@dataclass
class Draft:
    """A graph on its way to a model.

    Attributes:
        sketch: What is shown.
        opset: The version of the operator set that it is read in.
        nodes: Its operators, in an order in which they can run.
        weights: Its constants by name.
        attributes_shown: Whether the picture was exported with attributes shown: one that is
            missing then has its default.
        notes: What is inferred.
        constant: Values that are made of constants and sizes alone.
    """

    sketch: Sketch
    opset: int
    nodes: list[DraftNode]
    weights: dict[str, Weight]
    attributes_shown: bool
    notes: Notes
    constant: set[str]

    def weight(self, node: DraftNode, index: int) -> Weight | None:
        """The constant in a slot of a node; None where there is none."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        return self.weights.get(name)

    def data(self, node: DraftNode) -> Iterator[str]:
        """The values that a node reads, without constants."""
        return (name for name in node.inputs if name and name not in self.weights)

    def readers(self, value: str) -> list[DraftNode]:
        """The nodes that read a value."""
        return [node for node in self.nodes if value in node.inputs]

    def producer(self, value: str) -> DraftNode | None:
        """The node that makes a value; None of an input."""
        return next((node for node in self.nodes if value in node.outputs), None)

    @property
    def rank(self) -> int | None:
        """Spatial axes, as weights and shapes that are shown tell; None where nothing does."""
        ranks = [
            len(weight.shape) - 2
            for node in self.nodes
            if node.op_type in ("Conv", "ConvTranspose")
            and (weight := self.weight(node, 1)) is not None
        ]
        ranks += [len(self.shape(name)) - 2 for name in self.sketch.inputs if self.shape(name)]
        return max(ranks, default=None)

    def shape(self, value: str) -> tuple[Dimension, ...]:
        """The shape that is shown of a value; empty where none is."""
        return self.sketch.shapes.get(value, ())
