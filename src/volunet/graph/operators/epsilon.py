"""What norms add to a variance before they divide by its root."""

from __future__ import annotations

from typing import Final

from volunet.graph.node import Node

DEFAULT_EPSILON: Final = 1e-5


def epsilon_argument(node: Node) -> list[str]:
    """``eps=…`` as PyTorch source, where it is not 1e-5."""
    epsilon = node.real("epsilon", DEFAULT_EPSILON)
    return [] if abs(epsilon - DEFAULT_EPSILON) < 1e-9 else [f"eps={epsilon:.7g}"]
