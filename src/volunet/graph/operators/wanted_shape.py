"""Shapes that an operator is asked for by an input."""

from __future__ import annotations

from volunet.errors import ShapeError
from volunet.graph.node import Node
from volunet.graph.sizes import Size


def wanted_shape(node: Node, index: int) -> tuple[Size, ...]:
    """An input that is a list of sizes.

    Raises:
        ShapeError: It depends on the data.
    """
    sizes = node.sizes(index)
    if sizes is None:
        raise depends(node, "a shape")
    return sizes


def depends(node: Node, what: str) -> ShapeError:
    """The error of a node whose output's size depends on the data."""
    return ShapeError(
        f"{node.op_type} '{node.name}'",
        f"{what} that depends on the data" if what == "a shape" else f"{what} that depend on data",
        "It is a constant, or follows from the input's size.",
        "Export the model again; such a file is not supported.",
    )
