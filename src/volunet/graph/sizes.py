"""`Size`: the size of an axis, a number or a formula of the input's sizes such as ``⌊d/2⌋·2``.

A formula is a polynomial over symbols, floors, maxima and minima, in a normal form in which the
sizes of a network come out equal where they are: ``⌊⌊d/2⌋/2⌋`` is ``⌊d/4⌋``, and half of
``⌊(d + 15)/16⌋·16`` is ``⌊(d + 15)/16⌋·8``. Only what follows from the rules is simplified; every
symbol is a whole number from 1 up.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final, TypeAlias

Size: TypeAlias = "int | Expression"

_Monomial: TypeAlias = "tuple[Atom, ...]"
_ONE: Final[_Monomial] = ()

_LONGEST_TEXT: Final = 30
"""Parts of a formula that is still written out; of a longer one only its symbols are named."""


class Atom:
    """A symbol, or a function of formulas: ``floor``, ``trunc``, ``max``, ``min``.

    Formulas share their parts, so that a deep one has more paths than could be walked; equality
    therefore goes by a digest, and a text is written only of what is short enough to read.

    Args:
        kind: ``symbol`` or the function.
        name: The symbol's name, empty for a function.
        arguments: The function's arguments.
    """

    __slots__ = ("arguments", "depth", "digest", "kind", "largest", "length", "name", "symbols")

    def __init__(self, kind: str, name: str = "", arguments: tuple[Expression, ...] = ()) -> None:
        self.kind = kind
        self.name = name
        self.arguments = arguments
        self.length: int = 1 + sum(argument.length for argument in arguments)
        self.depth: int = max((argument.depth + 1 for argument in arguments), default=0)
        self.largest: int = max((argument.largest for argument in arguments), default=1)
        names = {name} if kind == "symbol" else set()
        self.symbols: frozenset[str] = frozenset(names).union(*(a.symbols for a in arguments))
        self.digest: str = _digest(kind, name, *(argument.digest for argument in arguments))

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and self.digest == other.digest

    def __lt__(self, other: Atom) -> bool:
        return (self.depth, self.name, self.digest) < (other.depth, other.name, other.digest)

    def __str__(self) -> str:
        if self.kind == "symbol":
            return self.name
        texts = [str(argument) for argument in self.arguments]
        return f"⌊{texts[0]}⌋" if self.kind == "floor" else f"{self.kind}({', '.join(texts)})"


class Expression:
    """A formula in its normal form: monomials and their coefficients, constants included."""

    __slots__ = ("depth", "digest", "largest", "length", "symbols", "terms")

    def __init__(self, terms: Mapping[_Monomial, Fraction]) -> None:
        kept = {monomial: value for monomial, value in terms.items() if value}
        self.terms = dict(sorted(kept.items(), key=lambda item: (-len(item[0]), item[0])))
        atoms = [atom for monomial in self.terms for atom in monomial]
        self.length: int = len(self.terms) + sum(atom.length for atom in atoms)
        self.depth: int = max((atom.depth for atom in atoms), default=0)
        numbers = [n for v in self.terms.values() for n in (abs(v.numerator), v.denominator)]
        self.largest: int = max([1, *numbers, *(atom.largest for atom in atoms)])
        self.symbols: frozenset[str] = frozenset().union(*(atom.symbols for atom in atoms))
        parts = (
            f"{value}:{'.'.join(atom.digest for atom in monomial)}"
            for monomial, value in self.terms.items()
        )
        self.digest: str = _digest(*parts)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.digest == other.digest

    def __add__(self, other: Size | Fraction) -> Size:
        terms = dict(self.terms)
        for monomial, value in expression_of(other).terms.items():
            terms[monomial] = terms.get(monomial, Fraction(0)) + value
        return _size(terms)

    def __radd__(self, other: int | Fraction) -> Size:
        return self + other

    def __neg__(self) -> Size:
        return _size({monomial: -value for monomial, value in self.terms.items()})

    def __sub__(self, other: Size | Fraction) -> Size:
        return self.__add__(other * -1)

    def __rsub__(self, other: int | Fraction) -> Size:
        return expression_of(self * -1) + other

    def __mul__(self, other: Size | Fraction) -> Size:
        terms: dict[_Monomial, Fraction] = {}
        for left, a in self.terms.items():
            for right, b in expression_of(other).terms.items():
                monomial = tuple(sorted((*left, *right)))
                terms[monomial] = terms.get(monomial, Fraction(0)) + a * b
        return _size(terms)

    def __rmul__(self, other: int | Fraction) -> Size:
        return self * other

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number for all values of its symbols, as its form shows."""
        return common_denominator(self) == 1

    def __str__(self) -> str:
        if self.length > _LONGEST_TEXT:
            return f"f({', '.join(sorted(self.symbols))})"
        denominator = common_denominator(self)
        text = ""
        for monomial, value in self.terms.items():
            whole = abs(value * denominator)
            factors = "·".join(map(str, monomial))
            times = "" if factors and whole == 1 else str(whole)
            term = "·".join(part for part in (factors, times) if part)
            sign = "−" if value < 0 else "+"
            text += f" {sign} {term}" if text else (f"−{term}" if value < 0 else term)
        if denominator == 1:
            return text
        return f"({text})/{denominator}" if len(self.terms) > 1 else f"{text}/{denominator}"

    def __repr__(self) -> str:
        return f"<{self}>"


def symbol(name: str) -> Expression:
    """A size that is not known: any whole number from 1 up.

    Example:
        >>> str(floor_div(symbol("d"), 2) * 2)
        '⌊d/2⌋·2'
    """
    return Expression({(Atom("symbol", name),): Fraction(1)})


def floor_div(size: Size, divisor: int) -> Size:
    """⌊size / divisor⌋, the divisor above 0."""
    return size // divisor if isinstance(size, int) else floor(size * Fraction(1, divisor))


def ceil_div(size: Size, divisor: int) -> Size:
    """⌈size / divisor⌉, the divisor above 0."""
    return floor_div(size + (divisor - 1), divisor)


def floor(size: Size | Fraction) -> Size:
    """The largest whole number that is not above a size with fractions.

    Of a negative size it is written as the smallest one that is not below the positive size, which
    is a floor again: ⌊−d/4⌋ is −⌊(d + 3)/4⌋.

    Example:
        >>> d = symbol("d")
        >>> str(floor(floor(d * Fraction(1, 2)) * Fraction(1, 2)))
        '⌊d/4⌋'
    """
    if not isinstance(size, Expression):
        return math.floor(size)
    whole = {m: v for m, v in size.terms.items() if m != _ONE and v.denominator == 1}
    rest = {m: v for m, v in size.terms.items() if m not in whole}
    constant = rest.get(_ONE, Fraction(0))
    whole[_ONE] = Fraction(math.floor(constant))
    rest[_ONE] = constant - whole[_ONE]
    inner = _unnest(Expression(rest))
    if set(inner.terms) <= {_ONE}:
        return _size(whole) + math.floor(inner.terms.get(_ONE, Fraction(0)))
    if next(iter(inner.terms.values())) < 0:
        up = 1 - Fraction(1, common_denominator(inner))
        return _size(whole) - floor(expression_of(inner * -1) + up)
    return _size(whole) + Expression({(Atom("floor", arguments=(inner,)),): Fraction(1)})


def _unnest(inner: Expression) -> Expression:
    """⌊(⌊x⌋ + m)/n⌋ = ⌊(x + m)/n⌋ for every whole m: open such a floor within a floor."""
    denominator = common_denominator(inner)
    for monomial, value in inner.terms.items():
        if len(monomial) == 1 and monomial[0].kind == "floor" and value == Fraction(1, denominator):
            others = {m: v for m, v in inner.terms.items() if m != monomial}
            opened = expression_of(Expression(others) + monomial[0].arguments[0] * value)
            whole = {m: v for m, v in opened.terms.items() if v.denominator == 1 and m != _ONE}
            if not whole and 0 <= opened.terms.get(_ONE, Fraction(0)) < 1:
                return _unnest(opened)
    return inner


def divide_exactly(size: Size, divisor: Size) -> Size | None:
    """The quotient where it is a formula with whole coefficients, else None.

    Example:
        >>> d = symbol("d")
        >>> str(divide_exactly(d * 6, d * 2))
        '3'
    """
    if divisor == 0:
        return None
    a, b = expression_of(size), expression_of(divisor)
    if not a.terms:
        return 0
    (lead, value), *_ = b.terms.items()
    first, first_value = next(iter(a.terms.items()))
    left = list(first)
    for atom in lead:
        if atom not in left:
            return None
        left.remove(atom)
    quotient = Expression({tuple(left): first_value / value})
    rest = expression_of(a - quotient * _size(b.terms))
    if rest.terms:
        if len(rest.terms) >= len(a.terms):
            return None
        other = divide_exactly(rest, divisor)
        return None if other is None else _whole(_size(quotient.terms) + other)
    return _whole(_size(quotient.terms))


def _whole(size: Size) -> Size | None:
    return size if common_denominator(expression_of(size)) == 1 else None


def symbols_of(size: Size) -> frozenset[str]:
    """Names of the symbols in a size."""
    return frozenset() if isinstance(size, int) else size.symbols


def product(sizes: Sequence[Size]) -> Size:
    """The product of sizes: the number of elements of a shape."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def shape_text(sizes: Sequence[Size | None]) -> str:
    """A shape as ``1×32×⌊d/2⌋×9``; an axis that is not known as ``?``."""
    parts = ["?" if size is None else str(size) for size in sizes]
    return "×".join(f"({part})" if " " in part and not _closed(part) else part for part in parts)


def _closed(text: str) -> bool:
    """Whether a text with spaces reads as one factor: all of them are within brackets."""
    depth = 0
    for sign in text:
        depth += (sign in "⌊(") - (sign in "⌋)")
        if sign == " " and depth == 0:
            return False
    return True


def expression_of(value: Size | Fraction) -> Expression:
    """A number as a formula."""
    return value if isinstance(value, Expression) else Expression({_ONE: Fraction(value)})


def _size(terms: Mapping[_Monomial, Fraction]) -> Size:
    """A plain int where nothing but a whole constant is left."""
    kept = {m: v for m, v in terms.items() if v}
    if not kept:
        return 0
    if set(kept) == {_ONE} and kept[_ONE].denominator == 1:
        return int(kept[_ONE])
    return Expression(kept)


def _digest(*parts: str) -> str:
    return hashlib.blake2b("|".join(parts).encode(), digest_size=12).hexdigest()


def common_denominator(size: Expression) -> int:
    """The least number that makes every coefficient whole."""
    return math.lcm(*(value.denominator for value in size.terms.values()))
