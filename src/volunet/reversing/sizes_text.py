"""Sizes that a call computes with, written as the shapes of tensors that are at hand.

An exporter writes out how a size comes about: Shape, Gather, Slice, Concat. What is left of it here
is the formula, and a formula that is the size of a tensor nearby becomes that tensor's `shape`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from volunet.graph.sizes import Atom, Expression, Size, ceil_div, floor_div
from volunet.graph.tensors import Shape

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
    names = list(inputs)
    for pair in _pairs(nearby):
        texts = _texts(sizes, pair, names)
        if texts is not None:
            call = _TOKEN.sub(lambda match, t=texts: t[int(match.group(1))], call)  # type: ignore[misc]
            used = [known for known in pair if f"{{{_place(known, names)}}}" in "".join(texts)]
            for known in used:
                if known.name not in names:
                    names.append(known.name)
            ranks = {str(names.index(known.name)): len(known.shape) for known in used}
            return _joined(call, ranks), tuple(names[len(inputs) :])
    return None


def _pairs(nearby: Sequence[Known]) -> Iterator[tuple[Known, ...]]:
    """Which tensors are tried together: one, then the first with another, then all."""
    for known in nearby:
        yield (known,)
    for known in nearby[1:]:
        yield (nearby[0], known)


def _place(known: Known, names: Sequence[str]) -> int:
    return names.index(known.name) if known.name in names else len(names)


def _texts(
    sizes: Sequence[Expression], tensors: tuple[Known, ...], names: Sequence[str]
) -> list[str] | None:
    texts = []
    for size in sizes:
        text = _text(size, tensors, names)
        if text is None:
            return None
        texts.append(text)
    return texts


def _text(size: Expression, tensors: tuple[Known, ...], names: Sequence[str]) -> str | None:
    rank = min(len(known.shape) for known in tensors)
    for axis in range(rank):
        a = tensors[0].shape[axis]
        text = f"{{{_place(tensors[0], names)}}}.shape[{axis}]"
        if len(tensors) == 1:
            found = _of_one(size, a, text)
        else:
            b = tensors[1].shape[axis]
            other = f"{{{_place(tensors[1], names)}}}.shape[{axis}]"
            found = _of_one(size, a, text) or _of_one(size, b, other)
            found = found or _of_two(size, a, b, text, other)
        if found is not None:
            return found
    if len(tensors) == 1:
        places = {
            str(own): f"{{{_place(tensors[0], names)}}}.shape[{axis}]"
            for axis, own in enumerate(tensors[0].shape)
            if isinstance(own, Expression) and own.depth == 0 and len(own.symbols) == 1
        }
        if size.symbols <= set(places):
            return formula(size, places)
    return None


def _of_one(size: Expression, a: Size, text: str) -> str | None:
    """A size that follows from one other."""
    if not isinstance(a, Expression):
        return None
    if size == a:
        return text
    rest = size - a
    if isinstance(rest, int):
        return f"({text} {'+' if rest > 0 else '-'} {abs(rest)})"
    for k in _FACTORS:
        if size == ceil_div(a, k) * k - a:
            return f"-{text} % {k}"
        if size == a * k:
            return f"{k} * {text}"
        if size == floor_div(a, k):
            return f"{text} // {k}"
        if size == floor_div(a, k) * k:
            return f"{text} // {k} * {k}"
        if size == ceil_div(a, k):
            return f"-(-{text} // {k})"
    return None


def _of_two(size: Expression, a: Size, b: Size, text: str, other: str) -> str | None:
    """A size that follows from two: what is to be padded or cropped to make them one."""
    for first, second, x, y in ((a, b, text, other), (b, a, other, text)):
        gap = first - second
        half = floor_div(gap, 2)
        for value, written in (
            (gap, f"{x} - {y}"),
            (half, f"({x} - {y}) // 2"),
            (gap - half, f"({x} - {y} + 1) // 2"),
            (half + second, f"({x} + {y}) // 2"),
        ):
            if size == value:
                return written
            if size == value * -1:
                return f"-({written})"
    return None


def formula(size: Size, places: dict[str, str]) -> str:
    """A formula in Python, of texts for its symbols."""
    if isinstance(size, int):
        return str(size)
    denominator = _denominator(size)
    parts: list[str] = []
    for monomial, value in size.terms.items():
        whole = value * denominator
        factors = [_atom(atom, places) for atom in monomial]
        if abs(whole) != 1 or not factors:
            factors.append(str(abs(whole)))
        sign = "-" if whole < 0 else "+"
        text = " * ".join(factors)
        parts.append(f"{sign} {text}" if parts else (f"-{text}" if sign == "-" else text))
    text = " ".join(parts)
    if denominator == 1:
        return text
    return f"({text}) // {denominator}" if len(parts) > 1 else f"{text} // {denominator}"


def _atom(atom: Atom, places: dict[str, str]) -> str:
    if atom.kind == "symbol":
        return places[atom.name]
    arguments = [formula(_as_size(argument), places) for argument in atom.arguments]
    if atom.kind == "floor":
        return f"({arguments[0]})"
    if atom.kind == "trunc":
        return f"int({arguments[0].replace('//', '/')})"
    return f"{atom.kind}({', '.join(arguments)})"


def _as_size(expression: Expression) -> Size:
    return expression


def _denominator(size: Expression) -> int:
    denominator = 1
    for value in size.terms.values():
        while (value * denominator).denominator != 1:
            denominator *= (value * denominator).denominator
    return denominator


def _joined(call: str, ranks: dict[str, int]) -> str:
    """Lists of all spatial axes as one: ``x.shape[2:]``, or a list comprehension over it."""
    for place, rank in ranks.items():
        axes = range(2, rank)
        every = ", ".join(f"{{{place}}}.shape[{axis}]" for axis in axes)
        call = call.replace(f"size=({every})", f"size={{{place}}}.shape[2:]")
        call = call.replace(f"({every},)", f"{{{place}}}.shape[2:]")
    match = re.search(r"F\.pad\(\{0\}, \[([^\[\]]*(?:\[\d\][^\[\]]*)*)\]", call)
    if match:
        sides = match.group(1).split(", ")
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
