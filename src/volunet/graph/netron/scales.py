"""Which operators halve and double sizes, so that every join and every shown shape agrees.

On each axis every tensor has a level: how often its size was halved. An operator moves it by one of
a few steps (`windows_shown`), and at a join all levels are equal. Of all ways that fulfil this, the
most usual one is taken: a small integer program, an axis at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from volunet.graph.netron.windows_shown import Option

_BROKEN: Final = 1000.0
_MOST: Final = 40.0
"""Halvings up to which levels are followed: more than any size has."""

_SLACK: Final = 0.3
"""How far a level may be from that of a size which is shown: halves of odd sizes are rounded."""


@dataclass
class Program:
    """The levels of one axis as an integer program.

    Attributes:
        levels: How many tensors there are.
    """

    levels: int
    _steps: list[tuple[int, int, list[Option]]] = field(default_factory=list)
    _equals: list[tuple[int, int, float]] = field(default_factory=list)
    _fixed: dict[int, float] = field(default_factory=dict)

    def step(self, before: int, after: int, options: list[Option]) -> int:
        """An operator that makes one tensor of another in one of some ways; answers its place."""
        self._steps.append((before, after, options))
        return len(self._steps) - 1

    def equal(self, left: int, right: int, weight: float = 1.0) -> int:
        """Two tensors of one level, if at all possible; answers the place of the join."""
        self._equals.append((left, right, weight))
        return len(self._equals) - 1

    def fix(self, tensor: int, level: float) -> None:
        """A tensor whose level is known."""
        self._fixed[tensor] = level

    def solve(self) -> tuple[list[Option], list[int]] | None:
        """The cheapest option of each step, and the joins that none can make equal.

        None where the program has no answer at all.
        """
        first = [self.levels]
        for _, _, options in self._steps:
            first.append(first[-1] + len(options))
        broken = first[-1]
        count = broken + len(self._equals)
        rows: list[tuple[dict[int, float], float, float]] = []
        cost = np.zeros(count)
        for (before, after, options), place in zip(self._steps, first, strict=False):
            terms = {after: 1.0, before: -1.0}
            for offset, option in enumerate(options):
                terms[place + offset] = -option.halvings
                cost[place + offset] = option.cost
            rows.append((terms, 0.0, 0.0))
            rows.append(({place + offset: 1.0 for offset in range(len(options))}, 1.0, 1.0))
        for index, (left, right, weight) in enumerate(self._equals):
            cost[broken + index] = _BROKEN * weight
            if left != right:
                gap = {left: 1.0, right: -1.0}
                rows.append(({**gap, broken + index: -2 * _MOST}, -np.inf, 0.01))
                rows.append(({**gap, broken + index: 2 * _MOST}, -0.01, np.inf))
        low, high = np.zeros(count), np.ones(count)
        low[: self.levels], high[: self.levels] = -_MOST, _MOST
        for tensor, level in self._fixed.items():
            low[tensor], high[tensor] = level - _SLACK, level + _SLACK
        whole = np.ones(count, np.int64)
        whole[: self.levels] = 0
        result = milp(
            cost,
            integrality=whole,
            bounds=Bounds(low, high),
            constraints=_constraint(rows, count),
            options={"time_limit": 20.0},
        )
        if result.x is None:
            return None
        chosen = [
            options[int(np.argmax(result.x[place : place + len(options)]))]
            for (_, _, options), place in zip(self._steps, first, strict=False)
        ]
        unequal = [index for index in range(len(self._equals)) if result.x[broken + index] > 0.5]
        return chosen, unequal


def _constraint(rows: list[tuple[dict[int, float], float, float]], count: int) -> LinearConstraint:
    entries = [(i, j, v) for i, (terms, _, _) in enumerate(rows) for j, v in terms.items()]
    places = ([i for i, _, _ in entries], [j for _, j, _ in entries])
    matrix = coo_array(([v for _, _, v in entries], places), shape=(len(rows), count)).tocsr()
    return LinearConstraint(matrix, [row[1] for row in rows], [row[2] for row in rows])


def level_of(size: int, full: int) -> float:
    """How often a size was halved."""
    return math.log2(full / size)
