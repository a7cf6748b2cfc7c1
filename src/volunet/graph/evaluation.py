"""The numbers that formulas of sizes stand for, at one size of the input or at many at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from volunet.graph.sizes import Atom, Expression, Size, common_denominator

_SAFE: Final = 2**20
"""Largest number in a formula with which int64 cannot overflow at sizes that occur."""


def evaluate(size: Size, values: Mapping[str, Any]) -> Any:
    """The number that a size is, its symbols given; with arrays of numbers, an array.

    Args:
        size: A size.
        values: For each symbol an int, or a NumPy array of int64.

    Raises:
        KeyError: A symbol has no value.

    Example:
        >>> from volunet.graph.sizes import floor_div, symbol
        >>> evaluate(floor_div(symbol("d"), 2) * 2, {"d": 9})
        8
    """
    if isinstance(size, int):
        return size
    if size.largest > _SAFE:  # a file that asks for absurd sizes: Python's own numbers are exact
        values = {
            name: value.astype(object) if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        }
    done: dict[Atom, Any] = {}
    for atom in sorted(_atoms(size), key=lambda atom: atom.depth):
        done[atom] = _evaluate_atom(atom, values, done)
    return _evaluate(size, done)


def _atoms(size: Expression) -> set[Atom]:
    """All atoms in a formula; by a list of what is left to do, since it may be deep."""
    found: set[Atom] = set()
    left = [size]
    while left:
        new = {atom for monomial in left.pop().terms for atom in monomial} - found
        found |= new
        left += [argument for atom in new for argument in atom.arguments]
    return found


def _evaluate(size: Expression, done: Mapping[Atom, Any]) -> Any:
    numerator, denominator = _evaluate_quotient(size, done)
    return numerator // denominator  # a size is whole: this division leaves nothing


def _evaluate_quotient(size: Expression, done: Mapping[Atom, Any]) -> tuple[Any, int]:
    denominator = common_denominator(size)
    total: Any = 0
    for monomial, value in size.terms.items():
        product: Any = int(value * denominator)
        for atom in monomial:
            product = product * done[atom]
        total = total + product
    return total, denominator


def _evaluate_atom(atom: Atom, values: Mapping[str, Any], done: Mapping[Atom, Any]) -> Any:
    if atom.kind == "symbol":
        return values[atom.name]
    if atom.kind in ("floor", "trunc"):
        numerator, denominator = _evaluate_quotient(atom.arguments[0], done)
        if atom.kind == "floor":
            return numerator // denominator
        return _sign(numerator) * (abs(numerator) // denominator)
    left, right = (_evaluate(argument, done) for argument in atom.arguments)
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return np.maximum(left, right) if atom.kind == "max" else np.minimum(left, right)
    return max(left, right) if atom.kind == "max" else min(left, right)


def _sign(number: Any) -> Any:
    return np.sign(number) if isinstance(number, np.ndarray) else (number > 0) - (number < 0)
