"""Sizes that a call computes with, written as the shapes of tensors that are at hand.

An exporter writes out how a size comes about: Shape, Gather, Slice, Concat. What is left of it here
is the formula, and a formula that is the size of a tensor nearby becomes that tensor's `shape`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from volunet.graph.bounds import maximum, minimum, truncate_div
from volunet.graph.sizes import (
    Atom,
    Expression,
    Size,
    ceil_div,
    common_denominator,
    floor_div,
    symbols_of,
)
from volunet.graph.tensors import Shape
from volunet.reversing.reading.layers import split_arguments

_TOKEN: Final = re.compile(r"\{s(\d+)\}")

_FACTORS: Final = (2, 3, 4, 8, 16, 32, 64)


class Known:
    """A tensor whose shape may be asked for: its place in the call's inputs, and its sizes."""

    def __init__(self, name: str, shape: Shape) -> None:
        self.name = name
        self.shape = shape


def write_sizes(
    call: str, sizes: Sequence[Expression], inputs: Sequence[str], nearby: Sequence[Known]
) -> tuple[str, tuple[str, ...]] | None:
    """Write the sizes of a call.

    Args:
        call: A call in which ``{s0}`` … stand for sizes.
        sizes: Their formulas.
        inputs: Names of the call's inputs, ``{0}`` ….
        nearby: Tensors whose shapes may be used, the preferred one first; the call's first input
            and the network's inputs among them.

    Returns:
        The call, and further inputs that it takes; None where a size is not one of these shapes and
        does not follow from the network's inputs' either.
    """
    for tensors, way in _ways(nearby):
        names = [*inputs, *(t.name for t in tensors if t.name not in inputs)]
        texts = [_text(size, tensors, names, way) for size in sizes]
        written = [text for text in texts if text is not None]
        if len(written) < len(texts):
            continue
        call = _TOKEN.sub(lambda match, w=written: w[int(match.group(1))], call)  # type: ignore[misc]
        places = {str(names.index(known.name)): len(known.shape) for known in tensors}
        return _joined(call, places), tuple(names[len(inputs) :])
    return None


def _ways(nearby: Sequence[Known]) -> Iterator[tuple[tuple[Known, ...], _Way]]:
    """Which tensors are tried, and how, the plainest first.

    The size of one tensor; what makes one size of two; what follows from one; a formula.
    """
    for known in nearby:
        yield (known,), _same
    for known in nearby[1:]:
        yield (nearby[0], known), _of_two
    for known in nearby:
        yield (known,), _of_one
    for known in nearby:
        yield (known,), _as_formula


def _text(
    size: Expression, tensors: tuple[Known, ...], names: Sequence[str], way: _Way
) -> str | None:
    """A size in one way, of the same axis of all tensors."""
    texts = [f"{{{names.index(known.name)}}}.shape" for known in tensors]
    return way(size, [known.shape for known in tensors], texts)


def _same(size: Expression, shapes: Sequence[Shape], texts: Sequence[str]) -> str | None:
    """The size of an axis."""
    for axis, own in enumerate(shapes[0]):
        if size == own:
            return f"{texts[0]}[{axis}]"
    return None


def _of_one(size: Expression, shapes: Sequence[Shape], texts: Sequence[str]) -> str | None:
    """A size that follows from that of one axis."""
    for axis, a in enumerate(shapes[0]):
        if not isinstance(a, Expression) or a.symbols != size.symbols:
            continue
        text = f"{texts[0]}[{axis}]"
        if size == a:
            return text
        rest = size - a
        if isinstance(rest, int):
            return f"{text} {'+' if rest > 0 else '-'} {abs(rest)}"
        for value, written in _candidates(size, a, text):
            if size == value:
                return written
    return None


def _candidates(size: Expression, a: Expression, text: str) -> Iterator[tuple[Size, str]]:
    """Sizes that are often made of one, and how they are written."""
    for k in sorted({k for k in _numbers(size) if k > 1}):
        yield maximum(a, k), f"max({k}, {text})"
        yield maximum(a, k) - a, f"max(0, {k} - {text})"
        yield minimum(a, k), f"min({k}, {text})"
    for k in _FACTORS:
        yield a * k, f"{k} * {text}"
        yield floor_div(a, k), f"{text} // {k}"
        yield floor_div(a, k) * k, f"{text} // {k} * {k}"
        yield a - floor_div(a, k) * k, f"{text} % {k}"
        yield ceil_div(a, k) * k - a, f"-{text} % {k}"
        yield ceil_div(a, k), f"-(-{text} // {k})"


def _numbers(size: Expression) -> Iterator[int]:
    """The numbers that a formula takes the maximum or the minimum with."""
    for monomial in size.terms:
        for atom in monomial:
            for argument in atom.arguments:
                plain = _as_number(argument)
                if plain is not None and atom.kind in ("max", "min"):
                    yield plain
                yield from _numbers(argument)


def _as_number(expression: Expression) -> int | None:
    if expression.symbols or len(expression.terms) != 1:
        return None
    (value,) = expression.terms.values()
    return int(value) if value.denominator == 1 else None


def _of_two(size: Expression, shapes: Sequence[Shape], texts: Sequence[str]) -> str | None:
    """A size that follows from two: what is to be padded or cropped to make them one."""
    for axis, (a, b) in enumerate(zip(*shapes, strict=False)):
        one, two = (f"{text}[{axis}]" for text in texts)
        if a == b or symbols_of(a) | symbols_of(b) != size.symbols:
            continue
        if size in (a, b):
            return one if size == a else two
        for first, second, x, y in ((a, b, one, two), (b, a, two, one)):
            gap = first - second
            half = floor_div(gap, 2)
            towards_zero = truncate_div(gap, 2)
            for value, written in (
                (gap, f"{x} - {y}"),
                (minimum(first, second), f"min({x}, {y})"),
                (half, f"({x} - {y}) // 2"),
                (gap - half, f"({x} - {y} + 1) // 2"),
                (half + second, f"({x} + {y}) // 2"),
                (towards_zero, f"int(({x} - {y}) / 2)"),
                (second + (towards_zero or 0), f"int(({x} - {y}) / 2) + {y}"),
            ):
                if size == value:
                    return written
    return None


def _as_formula(size: Expression, shapes: Sequence[Shape], texts: Sequence[str]) -> str | None:
    """A size as a formula of axes that are symbols, as those of the network's inputs are."""
    places = {
        str(own): f"{texts[0]}[{axis}]"
        for axis, own in enumerate(shapes[0])
        if isinstance(own, Expression) and own.depth == 0 and len(own.symbols) == 1
    }
    return formula(size, places) if size.symbols <= set(places) else None


_Way: TypeAlias = "Callable[[Expression, Sequence[Shape], Sequence[str]], str | None]"


def formula(size: Size, places: dict[str, str]) -> str:
    """A formula in Python, of texts for its symbols."""
    if isinstance(size, int):
        return str(size)
    denominator = common_denominator(size)
    parts: list[str] = []
    for monomial, value in sorted(size.terms.items(), key=lambda term: term[1] < 0):
        whole = value * denominator
        factors = [_atom(atom, places) for atom in monomial]
        if abs(whole) != 1 or not factors:
            factors.append(str(abs(whole)))
        sign = "-" if whole < 0 else "+"
        text = " * ".join(factors)
        parts.append(f"{sign} {text}" if parts else (f"-{text}" if sign == "-" else text))
    text = " ".join(parts) or "0"
    if denominator == 1:
        return text
    return f"({text}) // {denominator}" if len(parts) > 1 else f"{text} // {denominator}"


def _atom(atom: Atom, places: dict[str, str]) -> str:
    if atom.kind == "symbol":
        return places[atom.name]
    if atom.kind == "trunc":
        (quotient,) = atom.arguments
        divisor = common_denominator(quotient)
        dividend = formula(quotient * divisor, places)
        bracketed = f"({dividend})" if " " in dividend else dividend
        return f"int({bracketed} / {divisor})"
    arguments = [formula(argument, places) for argument in atom.arguments]
    if atom.kind == "floor":
        return f"({arguments[0]})"
    return f"{atom.kind}({', '.join(arguments)})"


def _joined(call: str, ranks: dict[str, int]) -> str:
    """Lists of all spatial axes as one: ``x.shape[2:]``, or a list comprehension over it."""
    for place, rank in ranks.items():
        axes = range(2, rank)
        every = ", ".join(f"{{{place}}}.shape[{axis}]" for axis in axes)
        call = call.replace(f"size=({every})", f"size={{{place}}}.shape[2:]")
        call = call.replace(f"({every},)", f"{{{place}}}.shape[2:]")
    match = re.search(r"F\.pad\(\{0\}, \[([^\[\]]*(?:\[\d\][^\[\]]*)*)\]", call)
    if match:
        sides = split_arguments(match.group(1))
        joined = _joined_pads(sides, ranks)
        if joined is not None:
            call = call.replace(f"[{match.group(1)}]", joined, 1)
    return call


def _joined_pads(sides: list[str], ranks: dict[str, int]) -> str | None:
    """``F.pad``'s list, the last axis first, as a comprehension where all axes are alike."""
    for place, rank in ranks.items():
        if len(sides) != 2 * (rank - 2) or rank < 4:
            continue
        alike = {
            tuple(
                re.sub(rf"\.shape\[{axis}\]", ".shape[@]", side)
                for side in sides[2 * i : 2 * i + 2]
            )
            for i, axis in enumerate(range(rank - 1, 1, -1))
        }
        if len(alike) != 1:
            continue
        begin, end = alike.pop()
        others = {p for p in ranks if f"{{{p}}}.shape[@]" in begin + end}
        if any(".shape[" in side.replace(".shape[@]", "") for side in (begin, end)):
            continue
        if others == {place}:
            begin, end = (s.replace(f"{{{place}}}.shape[@]", "size") for s in (begin, end))
            over = f"size in reversed({{{place}}}.shape[2:])"
        elif len(others) == 2:
            one, two = sorted(others, key=int)
            begin, end = (
                s.replace(f"{{{one}}}.shape[@]", "a").replace(f"{{{two}}}.shape[@]", "b")
                for s in (begin, end)
            )
            over = f"a, b in zip({{{one}}}.shape[:1:-1], {{{two}}}.shape[:1:-1], strict=True)"
        else:
            continue
        return f"[side for {over} for side in ({begin}, {end})]"
    return None
