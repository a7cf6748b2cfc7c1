"""Which sizes a network takes: its requirements, tried at every size of an axis.

Each requirement is a relation of two formulas of the input's sizes. Evaluated at all sizes from 1
to `TRIED` at once, those of one axis give the sizes that pass, and these are put into words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.graph.evaluation import evaluate
from volunet.graph.network import Failure, Network
from volunet.graph.node import Node, Requirement
from volunet.graph.sizes import Expression, Size, symbols_of

TRIED: Final = 4096
"""Largest size of an axis that is tried; what is said of larger ones goes on from these."""

_LONGEST_PERIOD: Final = 128
"""Longest period that is looked for: 2 to the number of poolings, or a few of them."""

Passes = NDArray[np.bool_]
"""At index d − 1 whether size d passes."""


@dataclass(frozen=True)
class AxisLimit:
    """The sizes that a network takes on one axis.

    Attributes:
        axis: The axis' symbol, such as ``d``.
        spatial: Whether it is a spatial axis of the first input, which a size names.
        text: The sizes in words: ``any size``, ``multiples of 16``.
        passes: At index d − 1 whether size d passes, up to `TRIED`.
        strictest: The node that the most sizes do not get through, and why; None where all do.
    """

    axis: str
    spatial: bool
    text: str
    passes: Passes
    strictest: tuple[Node, Requirement] | None

    def nearest(self, size: int) -> int | None:
        """The smallest size that passes and is not below a given one."""
        from_here = np.flatnonzero(self.passes[size - 1 :])
        return size + int(from_here[0]) if from_here.size else None


@dataclass(frozen=True)
class Limits:
    """The sizes that a network takes.

    Attributes:
        axes: One limit for each axis that the file leaves open.
        joint: Requirements of several axes together, as ``d = h``, in words.
        diagonal: The sizes that pass where all open spatial axes have the same one.
        never: Nodes that no size gets through.
        unknown: Nodes whose sizes have no formula, so that these limits are not all.
    """

    axes: tuple[AxisLimit, ...]
    joint: tuple[str, ...]
    diagonal: Passes
    never: tuple[Failure, ...]
    unknown: tuple[Failure, ...]

    @property
    def spatial(self) -> tuple[AxisLimit, ...]:
        """The limits of the first input's spatial axes, in their order."""
        return tuple(limit for limit in self.axes if limit.spatial)

    @property
    def text(self) -> str:
        """All limits in words, for one line."""
        if self.never:
            return "none"
        if self.unknown:
            return "not known"
        if not self.axes:
            return "only the one in the file"
        texts = {limit.text for limit in self.spatial}
        told = [a for a in self.axes if not a.spatial and a.text != "any size"]
        words = "any size"
        if len(texts) == 1 and len(self.spatial) > 1 and texts != {words}:
            words = f"each axis {texts.pop()}"
        elif texts - {words}:
            told = [*self.spatial, *told]
            words = ""
        parts = [words, *(f"{limit.axis}: {limit.text}" for limit in told)]
        words = "; ".join(part for part in parts if part)
        if not self.joint:
            return words
        return "; ".join([words, *self.joint, f"all axes the same: {in_words(self.diagonal)}"])


def find_limits(network: Network) -> Limits:
    """Find the sizes that a network takes.

    Args:
        network: A network whose open axes are symbols.
    """
    sizes = np.arange(1, TRIED + 1, dtype=np.int64)
    symbols = [
        size
        for tensor in network.inputs
        for size in tensor.shape or ()
        if isinstance(size, Expression)
    ]
    names = list(dict.fromkeys(str(size) for size in symbols))
    spatial = {str(size) for size in (network.inputs[0].shape or ())[2:]}
    passes = {name: np.ones(TRIED, dtype=bool) for name in names}
    strictest: dict[str, tuple[int, Node, Requirement]] = {}
    joint: dict[frozenset[Size], str] = {}
    diagonal = np.ones(TRIED, dtype=bool)
    known: dict[Requirement, Passes] = {}
    for node, rule in network.requirements:
        used = symbols_of(rule.left) | symbols_of(rule.right)
        if len(used) != 1:
            if used:
                if rule.relation != ">=":  # a product below 1 has a factor that is told already
                    joint.setdefault(frozenset((rule.left, rule.right)), _words(rule))
                if used <= spatial:
                    diagonal &= holds_at(rule, dict.fromkeys(used, sizes))
            continue
        (name,) = used
        if rule not in known:
            known[rule] = holds_at(rule, {name: sizes})
        passes[name] &= known[rule]
        refused = int(TRIED - known[rule].sum())
        if refused > strictest.get(name, (0,))[0]:
            strictest[name] = (refused, node, rule)
    limits = []
    for name in names:
        found = strictest.get(name)
        why = None if found is None else found[1:]
        words = in_words(passes[name])
        limits.append(AxisLimit(name, name in spatial, words, passes[name], why))
        if name in spatial:
            diagonal &= passes[name]
    never = tuple(f for f in network.failures if f.requirement is not None)
    unknown = tuple(f for f in network.failures if f.requirement is None)
    return Limits(tuple(limits), tuple(joint.values()), diagonal, never, unknown)


def holds_at(rule: Requirement, values: dict[str, NDArray[np.int64]]) -> Passes:
    """At which sizes a requirement holds."""
    left, right = evaluate(rule.left, values), evaluate(rule.right, values)
    if rule.relation == ">=":
        holds = left >= right
    elif rule.relation == "==":
        holds = left == right
    else:
        holds = (left == right) | (np.equal(left, 1)) | (np.equal(right, 1))
    return np.broadcast_to(np.asarray(holds), next(iter(values.values())).shape).copy()


def in_words(passes: Passes) -> str:
    """Put the sizes that pass into words.

    Example:
        >>> in_words(np.arange(1, 1025) % 16 == 0)
        'a multiple of 16'
    """
    allowed = np.flatnonzero(passes) + 1
    if not allowed.size:
        return f"none up to {passes.size}"
    for period in range(1, _LONGEST_PERIOD + 1):
        residues = {int(d) % period for d in allowed[allowed > passes.size - 2 * period]}
        regular = np.isin(np.arange(1, passes.size + 1) % period, list(residues))
        odd = np.flatnonzero(regular != passes)
        start = int(odd[-1]) + 2 if odd.size else 1
        if start <= passes.size // 2 and residues:
            return _regular(period, sorted(residues), start, allowed)
    if len(allowed) == allowed[-1] - allowed[0] + 1:
        if allowed[-1] == passes.size:
            return f"any size from {allowed[0]} up"
        return f"{allowed[0]} to {allowed[-1]}" if len(allowed) > 1 else f"only {allowed[0]}"
    return f"only {_listed(allowed)}"


def _regular(period: int, residues: Sequence[int], start: int, allowed: NDArray[np.int64]) -> str:
    before = [int(d) for d in allowed if d < start]
    first = int(allowed[allowed >= start][0])
    if period == 1:
        words = "any size" if first == 1 else f"any size from {first} up"
    elif list(residues) == [0]:
        words = f"a multiple of {period}" + (f" from {first} up" if first > period else "")
    elif len(residues) == 1:
        words = f"{residues[0]} more than a multiple of {period}"
        words += f", from {first} up" if first > period else ""
    else:
        words = f"{_listed(residues)} more than a multiple of {period}"
    return f"{words} (and {_listed(before)})" if before else words


def _listed(numbers: Sequence[int] | NDArray[np.int64]) -> str:
    shown = [str(number) for number in numbers[:8]]
    return ", ".join(shown) + (", …" if len(numbers) > len(shown) else "")


def _words(rule: Requirement) -> str:
    or_one = ", or one of them 1" if rule.relation == "broadcast" else ""
    return f"{rule.left} = {rule.right}{or_one}"


def nearest_size(limits: Limits, size: Sequence[int]) -> tuple[int, ...] | None:
    """The size that passes, on no axis below a given one; None where none is known.

    Args:
        limits: The limits.
        size: A size for each of their spatial axes.
    """
    if limits.never or limits.unknown:
        return None
    if limits.joint:
        here = [d for d in np.flatnonzero(limits.diagonal) + 1 if d >= max(size)]
        return (int(here[0]),) * len(size) if here else None
    nearest = [limit.nearest(d) for limit, d in zip(limits.spatial, size, strict=True)]
    found = tuple(d for d in nearest if d is not None)
    return found if len(found) == len(nearest) else None
