"""What is written in a node: weights, ``W〈32×1×3×3×3〉``, and attributes, ``pads = 1, 1, …``.

Netron cuts an attribute's value off behind twelve characters and a constant's behind ten.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Dimension: TypeAlias = int | str | None
"""One size that is written: a number, a symbol's name, or unknown."""

_WEIGHT: Final = re.compile(r"(?P<name>[\w.:/-]*)\s*[〈⟨<](?P<shape>[^〉⟩>]*)[〉⟩>]$")
_VALUE: Final = re.compile(r"(?P<name>[\w.:/-]+)\s*[=:]\s?(?P<value>.*)$")
_TYPE: Final = re.compile(r"(?P<dtype>[a-z]+\d*)\[(?P<shape>[^\]]*)\]$")
CUT: Final = "…"


@dataclass(frozen=True)
class ShownLine:
    """One line of a node.

    Attributes:
        name: The input or attribute that it is of; empty for weights without names (``〈…〉``).
        shape: The shape of a weight; None for an attribute, a number, or where it is not shown.
        value: The value of an attribute, or of a constant that is one number; None for weights.
        is_cut: Whether the value goes on beyond what is shown.
        dtype: Netron's name of a weight's element type, empty where it is not known.
    """

    name: str
    shape: tuple[int, ...] | None = None
    value: str | None = None
    is_cut: bool = False
    dtype: str = ""


def read_line(text: str, tooltip: str) -> ShownLine | None:
    """Read one line; None of one that is neither a weight nor a value.

    Example:
        >>> read_line("W〈32×1×3〉", "float32[32,1,3]")
        ShownLine(name='W', shape=(32, 1, 3), value=None, is_cut=False, dtype='float32')
        >>> read_line("pads = 1, 1, 1, 1, …", "int64[]").value
        '1, 1, 1, 1, '
    """
    kind = _TYPE.match(tooltip)
    dtype = kind["dtype"] if kind else (tooltip if tooltip in ("float32", "int64") else "")
    match = _WEIGHT.match(text)
    if match:
        shape = read_sizes(match["shape"])
        if shape is None and kind:
            shape = read_sizes(kind["shape"])
        return ShownLine(match["name"], shape, dtype=dtype)
    match = _VALUE.match(text)
    if match is None:
        return None
    value = match["value"]
    is_cut = value.endswith(CUT)
    return ShownLine(match["name"], None, value.removesuffix(CUT), is_cut, dtype)


def read_sizes(text: str) -> tuple[int, ...] | None:
    """Sizes between × or commas; None where one is no number."""
    shape = read_shape(text)
    sizes = tuple(size for size in shape if isinstance(size, int))
    return sizes if shape and len(sizes) == len(shape) else None


_LONGEST_SYMBOL: Final = 60


def read_shape(text: str) -> tuple[Dimension, ...]:
    """Sizes between × or commas: numbers, symbols, or ``?``; empty where the text is none.

    Example:
        >>> read_shape("1×3×depth×?")
        (1, 3, 'depth', None)
    """
    parts = [part.strip() for part in re.split(r"[×,]", text)]
    if len(parts) > 8 or any(not part or len(part) > _LONGEST_SYMBOL for part in parts):
        return ()
    sizes: list[Dimension] = []
    for part in parts:
        if part.isascii() and part.isdigit():
            sizes.append(int(part))
        else:
            sizes.append(None if part == "?" else part)
    return tuple(sizes)


def read_integers(value: str, *, is_cut: bool) -> list[int] | None:
    """The whole numbers of a value; of one that is cut off, only those that are complete.

    Example:
        >>> read_integers("100, 100, 10", is_cut=True)
        [100, 100]
    """
    parts: Sequence[str] = value.split(",")
    if is_cut:
        parts = parts[:-1]
    try:
        return [int(part) for part in parts]
    except ValueError:
        return None


def read_real(value: str, *, is_cut: bool) -> float | None:
    """A number; one that is cut off is rounded, since it is a float32 written out in full.

    Example:
        >>> read_real("0.0099999997", is_cut=True)
        0.01
    """
    try:
        number = float(value)
    except ValueError:
        return None
    if not is_cut:
        return number
    digits = len(value.lstrip("-0.").replace(".", ""))
    return float(f"{number:.{max(1, min(digits - 1, 6))}g}")
