"""Where the window of each run of a group lies, for every kind of span.

All runs of a group make the same number of slices, the last ones past the end as well: one static
shape serves them all, and what lies beyond is never kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from volunet.graph.spans import Interpolated, Mirrored, Span, TransposedWindow, Window

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """The windows of all runs of a group on one of its feeds.

    Attributes:
        length: Slices of each window.
        starts: First slice of each window, which may lie before the first of the tensor.
        needs: For each run the slice behind the last one that it needs to be there.
        keeps: For each run, and after the last, the first slice that it or a later one reads.
    """

    length: int
    starts: Integers
    needs: Integers
    keeps: Integers


def windows_of(span: Span, size: int, chunk: int, out_size: int, runs: int) -> Windows:
    """The windows of all runs.

    Args:
        span: How the reading node reads the tensor.
        size: Slices of the tensor.
        chunk: Slices that the node makes in each run.
        out_size: Slices that it makes altogether.
        runs: Runs of the group.
    """
    begins = np.arange(runs, dtype=np.int64) * chunk
    if isinstance(span, Interpolated | Mirrored):
        ends = np.minimum(begins + chunk, out_size)
        pairs = np.array([
            span.need(int(a), int(b)) if a < b else (size, size)
            for a, b in zip(begins, ends, strict=True)
        ])  # fmt: skip
        if isinstance(span, Mirrored):
            starts = begins - span.begin + span.first
            return _windows(chunk, starts, pairs[:, 0], pairs[:, 1], size)
        length = int((pairs[:, 1] - pairs[:, 0]).max())
        return _windows(length, pairs[:, 0], pairs[:, 0], pairs[:, 1], size)
    if isinstance(span, TransposedWindow):
        first = _first_tap(span)
        length = (chunk - 1 + span.begin) // span.stride + 1 - first
        starts = begins // span.stride + first
    else:
        window = span if isinstance(span, Window) else Window()
        length = (chunk - 1) * window.stride + window.reach
        starts = begins * window.stride - window.begin
    return _windows(length, starts, starts, starts + length, size)


def _windows(length: int, starts: Integers, low: Integers, high: Integers, size: int) -> Windows:
    keeps = np.clip(np.append(low, size), 0, size)
    keeps = np.minimum.accumulate(keeps[::-1])[::-1]
    return Windows(length, starts, np.clip(high, 0, size), keeps)


def _first_tap(span: TransposedWindow) -> int:
    """The first input slice that output slice 0 may depend on, whichever tap meets it."""
    return (span.begin - (span.kernel - 1) * span.dilation) // span.stride


def transposed_range(span: TransposedWindow, chunk: int) -> tuple[int, int, int]:
    """What a transposed convolution of a window cuts off in front and behind, and what it adds.

    Args:
        span: Its span.
        chunk: Output slices wanted, the first of them a multiple of the stride.
    """
    first = _first_tap(span)
    length = (chunk - 1 + span.begin) // span.stride + 1 - first
    full = (length - 1) * span.stride + (span.kernel - 1) * span.dilation + 1
    begin = span.begin - first * span.stride
    end = full - begin - chunk
    return begin, max(end, 0), max(-end, 0)


def sources(span: Mirrored, start: int, length: int, out_size: int) -> list[int | None]:
    """The slices that a window of mirrored padding is made of; None past the output's end."""
    first = start + span.begin - span.first
    places = range(first, first + length)
    return [span.need(z, z + 1)[0] if z < out_size else None for z in places]


def interpolation(
    span: Interpolated, start: int, length: int, begin: int, chunk: int, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """The weights of a window's slices in each output slice of a run.

    Args:
        span: The span.
        start: First slice of the window.
        length: Slices of the window.
        begin: First output slice.
        chunk: Output slices.
        dtype: Type of the tensor.

    Returns:
        (chunk, length), of that type.
    """
    weights = np.zeros((chunk, length), dtype)
    for row, z in enumerate(range(begin, min(begin + chunk, span.out_size))):
        for slice_, weight in span.weights(z):
            weights[row, slice_ - start] += weight
    return weights
