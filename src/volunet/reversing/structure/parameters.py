"""The arguments of a class, and each of its numbers in terms of them.

What is the same in all instances is written as it is. What differs is an argument, or follows from
arguments that are there already: twice of one, the sum of two, half of a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from volunet.reversing.reading.layers import Listed
from volunet.reversing.structure.grammar import Form
from volunet.reversing.structure.scalars import ANY, Place, Scalar, Scalars

IN: Final = ("in_channels", "num_features", "num_channels", "in_features")
OUT: Final = ("out_channels", "out_features")

_OF_CHANNELS: Final = (*IN, *OUT, "groups", "num_groups", "num_parameters", "size", "part", "parts")
"""Arguments that are often a number of channels."""

_MOST_TIMES: Final = 8


@dataclass(frozen=True)
class Parameter:
    """An argument of a class.

    Attributes:
        name: Its name.
        index: The scalar that it stands for.
        type: Its type as it is written.
    """

    name: str
    index: int
    type: str


@dataclass(frozen=True)
class Parameters:
    """The arguments of a class, and its scalars as texts.

    Attributes:
        arguments: The arguments in order.
        texts: For each scalar of the form, a number or an expression of the arguments.
    """

    arguments: tuple[Parameter, ...]
    texts: tuple[str, ...]


def parameters_of(form: Form, scalars: Scalars) -> Parameters:
    """Find the arguments of the class of a form."""
    rows = [scalars.of(step) for step in scalars.instances[form]]
    columns = [tuple(row[index] for row in rows) for index in range(len(rows[0]) if rows else 0)]
    places = scalars.places(form)
    given = _ends(places)
    if len(rows) > 1:
        given = [index for index in given if not _is_constant(columns[index])]
    finder = _Finder(columns, places)
    for index in given:
        finder.add(index)
    # What does not matter in some instances comes last: it takes an argument that matters in all.
    order = sorted(range(len(columns)), key=lambda index: ANY in columns[index])
    for index in order:
        finder.place(index)
    return Parameters(finder.arguments(), tuple(finder.texts[i] for i in range(len(columns))))


def _ends(places: Sequence[Place]) -> list[int]:
    """The scalars that are the channels of a block's input and of its answer."""
    named = [index for index, place in enumerate(places) if place.name in IN + OUT]
    first = next((index for index in named if places[index].name in IN), None)
    last = next((index for index in reversed(named) if places[index].name in OUT), None)
    return [index for index in (first, last) if index is not None]


def _is_constant(column: Sequence[Scalar]) -> bool:
    known = [value for value in column if value is not ANY]
    return all(value == known[0] and type(value) is type(known[0]) for value in known)


class _Finder:
    def __init__(self, columns: list[tuple[Scalar, ...]], places: Sequence[Place]) -> None:
        self._columns = columns
        self._places = places
        self._basis: dict[str, int] = {}
        self.texts: dict[int, str] = {}

    def add(self, index: int) -> None:
        """Make a scalar an argument, where no argument is the same."""
        if self._equal(index) is not None:
            return
        place = self._places[index]
        if place.name in IN and not any(name.startswith("in_") for name in self._basis):
            name = "in_channels"
        elif place.name in OUT and not any(name.startswith("out_") for name in self._basis):
            name = "out_channels"
        elif place.name in IN + OUT:
            name = "hidden_channels"
        else:
            name = place.name or "number"
        number = 1
        base = name
        while name in self._basis:
            number += 1
            name = f"{base}_{number}"
        self._basis[name] = index

    def place(self, index: int) -> None:
        """Write a scalar: a number, an argument, or what follows from arguments."""
        column = self._columns[index]
        equal = self._equal(index)
        if _is_constant(column) and (equal is None or self._places[index].name not in IN + OUT):
            known = [value for value in column if value is not ANY]
            self.texts[index] = literal(known[0]) if known else "1"
            return
        text = equal or self._derived(index)
        if text is None:
            self.add(index)
            text = self._equal(index)
        self.texts[index] = text or literal(column[0])

    def arguments(self) -> tuple[Parameter, ...]:
        """The arguments: channels first."""
        order = {"in_channels": 0, "out_channels": 1}
        names = sorted(self._basis, key=lambda n: (order.get(n, 2), not n.startswith("hidden")))
        return tuple(
            Parameter(name, self._basis[name], type_of(self._columns[self._basis[name]]))
            for name in names
        )

    def _equal(self, index: int) -> str | None:
        column = self._columns[index]
        kind = self._places[index].name
        for name, other in self._basis.items():
            alike = _alike(kind, self._places[other].name)
            if index == other or (alike and _agree(column, self._columns[other])):
                return name
        return None

    def _derived(self, index: int) -> str | None:
        column = self._columns[index]
        place = self._places[index]
        known = [value for value in column if value is not ANY]
        if not all(isinstance(v, int) and not isinstance(v, bool) for v in known):
            return None
        if place.name == "padding":
            for name, other in self._basis.items():
                is_kernel = self._places[other].name == "kernel_size"
                if is_kernel and _agree(column, self._part(other, 2)):
                    return f"{name} // 2"
        if place.name not in IN + OUT + ("groups", "num_groups"):
            return None
        for name, other in self._basis.items():
            if self._places[other].name not in IN + OUT:
                continue
            for k in range(2, _MOST_TIMES + 1):
                if _agree(column, self._times(other, k)):
                    return f"{k} * {name}"
                whole = all(isinstance(v, int) and v % k == 0 for v in self._columns[other])
                if whole and _agree(column, self._part(other, k)):
                    return f"{name} // {k}"
        channels = [n for n, i in self._basis.items() if self._places[i].name in IN + OUT]
        for a in channels:
            for b in channels:
                if a < b and _agree(column, self._sum(self._basis[a], self._basis[b])):
                    return f"{a} + {b}"
        return None

    def _times(self, index: int, k: int) -> tuple[Scalar, ...]:
        return tuple(v * k if isinstance(v, int) else ANY for v in self._columns[index])

    def _part(self, index: int, k: int) -> tuple[Scalar, ...]:
        return tuple(v // k if isinstance(v, int) else ANY for v in self._columns[index])

    def _sum(self, a: int, b: int) -> tuple[Scalar, ...]:
        pairs = zip(self._columns[a], self._columns[b], strict=True)
        return tuple(x + y if isinstance(x, int) and isinstance(y, int) else ANY for x, y in pairs)


def _alike(name: str, other: str) -> bool:
    """Whether arguments of these names can be the same one, and not by chance the same number."""
    if name == other or {name, other} <= {"kernel_size", "stride"}:
        return True
    return other in IN + OUT and name in _OF_CHANNELS


def _agree(column: Sequence[Scalar], other: Sequence[Scalar]) -> bool:
    """Whether one column can be written as another: alike where its own value matters."""
    return all(
        a is ANY or (b is not ANY and a == b and type(a) is type(b))
        for a, b in zip(column, other, strict=True)
    )


def literal(value: Scalar) -> str:
    """A value as Python."""
    if value is ANY:
        return "1"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    if isinstance(value, tuple):
        inner = ", ".join(map(literal, value))
        if isinstance(value, Listed):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)


def type_of(column: Sequence[Scalar]) -> str:
    """The type of an argument as it is written."""
    known = [value for value in column if value is not ANY]
    types = []
    for value in known:
        if isinstance(value, tuple):
            numbers = ["float" if isinstance(v, float) else "int" for v in value]
            if isinstance(value, Listed):
                types.append(f"list[{min(numbers)}]")
            else:
                types.append(f"tuple[{', '.join(numbers)}]")
        else:
            types.append("None" if value is None else type(value).__name__)
    names = sorted(set(types), key=lambda t: (t == "None", t != "int", t))
    return " | ".join(names) or "int"
