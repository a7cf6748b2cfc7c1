"""What is inferred and what cannot be known, collected node by node and told once for all alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Notes:
    """What a picture does not show.

    Attributes:
        _inferred: For each inference as text, how many nodes of which operator it is of.
        _unknown: What cannot be known.
    """

    _inferred: dict[str, Counter[str]] = field(default_factory=dict)
    _unknown: dict[str, None] = field(default_factory=dict)

    def infer(self, text: str, op_type: str = "") -> None:
        """Note that something was inferred.

        Args:
            text: What, and why.
            op_type: The operator that it is of; empty where it is of the whole graph.
        """
        count = self._inferred.setdefault(text, Counter())
        if op_type:
            count[op_type] += 1

    def leave(self, text: str) -> None:
        """Note what cannot be known."""
        self._unknown[text] = None

    @property
    def inferred(self) -> tuple[str, ...]:
        """What was inferred, a line for all nodes of which the same was."""
        lines = []
        for text, count in self._inferred.items():
            nodes = ", ".join(f"{number} {op_type}" for op_type, number in count.items())
            lines.append(f"{nodes}: {text}" if nodes else text)
        return tuple(lines)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What cannot be known."""
        return tuple(self._unknown)
