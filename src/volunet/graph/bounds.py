"""What a `Size` is at least, and what follows from that: maxima, minima, quotients towards zero."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Final

from volunet.graph.sizes import (
    Atom,
    Expression,
    Size,
    common_denominator,
    divide_exactly,
    expression_of,
    floor_div,
)

_DEEPEST: Final = 40
"""Functions within functions up to which a bound is looked for."""

_MOST_SPLITS: Final = 4
"""Maxima and minima of which both arguments are looked at: each doubles the work."""


def truncate_div(size: Size, divisor: Size) -> Size | None:
    """The quotient towards zero, as ONNX's Div has it; None where it has no formula here.

    Source:
        https://onnx.ai/onnx/operators/onnx__Div.html
    """
    if isinstance(size, int) and isinstance(divisor, int):
        if divisor == 0:
            return None
        return abs(size) // abs(divisor) * (1 if (size < 0) == (divisor < 0) else -1)
    exact = divide_exactly(size, divisor)
    if exact is not None:
        return exact
    if not isinstance(divisor, int) or divisor < 1:
        return None
    if lower_bound(size) >= 0:
        return floor_div(size, divisor)
    quotient = expression_of(size * Fraction(1, divisor))
    return Expression({(Atom("trunc", arguments=(quotient,)),): Fraction(1)})


def maximum(left: Size, right: Size) -> Size:
    """The larger of two sizes."""
    if isinstance(left, int) and isinstance(right, int):
        return max(left, right)
    if lower_bound(left - right) >= 0:
        return left
    if lower_bound(right - left) >= 0:
        return right
    return _extreme("max", left, right)


def minimum(left: Size, right: Size) -> Size:
    """The smaller of two sizes."""
    if isinstance(left, int) and isinstance(right, int):
        return min(left, right)
    if lower_bound(left - right) >= 0:
        return right
    if lower_bound(right - left) >= 0:
        return left
    return _extreme("min", left, right)


def _extreme(kind: str, left: Size, right: Size) -> Expression:
    both = sorted(
        (expression_of(left), expression_of(right)), key=lambda e: (len(e.symbols), e.digest)
    )
    return Expression({(Atom(kind, arguments=tuple(both)),): Fraction(1)})


@lru_cache(maxsize=10_000)
def lower_bound(size: Size) -> Fraction | float:
    """A bound below a size for every value of its symbols; −∞ where none is found.

    Example:
        >>> from volunet.graph.sizes import symbol
        >>> d = symbol("d")
        >>> print(lower_bound(maximum(d, 4) - minimum(d, 3)))
        1
    """
    expression = expression_of(size)
    if expression.depth > _DEEPEST:
        return -math.inf
    bound = _bound(expression, _MOST_SPLITS)
    return Fraction(math.ceil(bound)) if expression.is_whole and math.isfinite(bound) else bound


@lru_cache(maxsize=10_000)
def _bound(expression: Expression, splits: int) -> Fraction | float:
    """A bound below a formula.

    Floors are relaxed: x − (q − 1)/q ≤ ⌊x⌋ ≤ x, where q is the common denominator of x. A maximum
    is at least either of its arguments, so that the better one counts; a minimum is one of them, so
    that the worse one does. Below a minus sign it is the other way round.
    """
    for monomial, value in expression.terms.items():
        atom = monomial[0] if len(monomial) == 1 else None
        if atom is None or atom.kind not in ("floor", "max", "min"):
            continue
        others = Expression({m: v for m, v in expression.terms.items() if m != monomial})
        if atom.kind == "floor":
            (argument,) = atom.arguments
            loss = Fraction(0) if value < 0 else 1 - Fraction(1, common_denominator(argument))
            return _bound(expression_of(others + argument * value), splits) - value * loss
        if splits:
            bounds = [_bound(expression_of(others + a * value), splits - 1) for a in atom.arguments]
            return max(bounds) if (atom.kind == "max") == (value > 0) else min(bounds)
    bound: Fraction | float = Fraction(0)
    for monomial, value in expression.terms.items():
        if value < 0 and monomial:
            return -math.inf
        bounds = [_atom_bound(atom) for atom in monomial]
        if any(b < 0 for b in bounds):
            return -math.inf
        bound += value * math.prod(bounds, start=Fraction(1))
    return bound


def _atom_bound(atom: Atom) -> Fraction | float:
    if atom.kind == "symbol":
        return Fraction(1)
    bounds = [lower_bound(argument) for argument in atom.arguments]
    if atom.kind == "max":
        return max(bounds)
    if atom.kind == "min":
        return min(bounds)
    return bounds[0] if math.isinf(bounds[0]) else Fraction(math.floor(bounds[0]))
