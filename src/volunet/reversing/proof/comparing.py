"""Comparing answers of written source with those of its file: numbers, shapes, types and ties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from volunet.reversing.proof.verification import Comparison

_MOST_TIES: Final = 1e-3
"""Share of whole numbers that may fall the other way where every layer before agrees."""

Arrays = dict[str, NDArray[Any]]


def compare(
    shapes: Mapping[str, tuple[int, ...]],
    answers: list[NDArray[Any]],
    wanted: Arrays,
    tolerance: float,
) -> tuple[Comparison, bool]:
    """Compare all outputs; also whether only some whole numbers differ, as ties would."""
    if len(answers) != len(wanted):
        note = f"the source has {len(answers)} outputs, the file {len(wanted)}"
        return Comparison(dict(shapes), inf, 0.0, note), False
    found = []
    could_be_ties = True
    for (name, want), got in zip(wanted.items(), answers, strict=True):
        difference, scale, note = difference_of(got, want)
        told = f"output '{name}': {note}" if note else ""
        found.append(Comparison(dict(shapes), difference, scale, told))
        if found[-1].relative > tolerance:
            is_whole = want.dtype.kind != "f" and not note
            could_be_ties &= is_whole and float(np.mean(got != want)) <= _MOST_TIES
    return max(found, key=lambda comparison: comparison.relative), could_be_ties


def without_ties(
    shapes: Mapping[str, tuple[int, ...]], answers: list[NDArray[Any]], wanted: Arrays
) -> Comparison:
    """The comparison with whole numbers that differ left out, and counted."""
    pairs = list(zip(answers, wanted.values(), strict=True))
    ties = sum(int(np.sum(got != want)) for got, want in pairs if want.dtype.kind != "f")
    mended = [want if want.dtype.kind != "f" else got for got, want in pairs]
    found, _ = compare(shapes, mended, wanted, tolerance=inf)
    return replace(found, ties=ties)


def difference_of(got: NDArray[Any], want: NDArray[Any]) -> tuple[float, float, str]:
    """Largest absolute difference, largest number wanted, and what differs besides numbers."""
    a, b = got.astype(np.float64), want.astype(np.float64)
    finite = np.abs(b[np.isfinite(b)])
    scale = float(finite.max(initial=0.0))
    if got.shape != want.shape:
        return inf, scale, f"shape {_size(got)} in the source, {_size(want)} in the file"
    if got.dtype != want.dtype:
        return inf, scale, f"{got.dtype} in the source, {want.dtype} in the file"
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    bad = ~same & ~(np.isfinite(a) & np.isfinite(b))
    if bad.any():
        return inf, scale, f"NaN or infinite in only one of the two, {int(bad.sum())} times"
    return float(np.abs(a[~same] - b[~same]).max(initial=0.0)), scale, ""


def _size(array: NDArray[Any]) -> str:
    return "×".join(map(str, array.shape)) or "of one number"


def relative_of(difference: float, scale: float) -> float:
    """A difference in terms of its scale, by the rule of `Comparison`."""
    return Comparison({}, difference, scale).relative
