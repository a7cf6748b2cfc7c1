"""Windows hold what their spans need, and mirrored and interpolated slices their sources."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from volunet.graph.spans import Interpolated, Mirrored, Pointwise, TransposedWindow, Window
from volunet.inference.streaming.windows import (
    interpolation,
    sources,
    transposed_range,
    windows_of,
)

SETTINGS = settings(derandomize=True, deadline=None, max_examples=150)
COUNT = st.integers(1, 5)


def spans() -> Any:
    """A span, the input's and the output's slices."""
    sizes = st.integers(1, 30)
    window = st.builds(Window, COUNT, st.integers(1, 9), st.integers(-3, 5))
    transposed = st.builds(TransposedWindow, COUNT, COUNT, COUNT, st.integers(0, 6))
    return st.tuples(st.one_of(window, transposed, st.just(Pointwise())), sizes, sizes)


@SETTINGS
@given(spans(), st.integers(1, 9))
def test_a_window_holds_all_that_its_slices_need(made: Any, chunk: int) -> None:
    span, size, out_size = made
    if isinstance(span, TransposedWindow):
        chunk *= span.stride  # runs are multiples of it
    runs = -(-out_size // chunk)
    windows = windows_of(span, size, chunk, out_size, runs)
    assert (len(windows.starts), len(windows.needs), len(windows.keeps)) == (runs, runs, runs + 1)
    assert windows.keeps[-1] == size
    assert (np.diff(windows.keeps) >= 0).all()
    for run, start in enumerate(windows.starts):
        for z in range(run * chunk, min((run + 1) * chunk, out_size)):
            low, high = span.need(z, z + 1)
            low, high = max(low, 0), min(high, size)
            if low < high:
                assert start <= low < high <= min(start + windows.length, windows.needs[run])
                assert windows.keeps[run] <= low
        assert 0 <= windows.needs[run] <= size
    if isinstance(span, Window):  # and no more
        low, high = span.need(0, chunk)
        assert (windows.starts[0], windows.length) == (low, high - low)
        assert windows.keeps[0] == min(max(low, 0), size)


def test_a_window_that_is_a_slice_short_does_not_hold_them() -> None:
    span = Window(stride=2, reach=3, begin=1)
    windows = windows_of(span, 9, 2, 5, 3)
    assert windows.starts.tolist() == [-1, 3, 7]
    assert (windows.length, span.need(2, 4)) == (5, (3, 8))
    assert windows.needs.tolist() == [4, 8, 9]
    assert windows.keeps.tolist() == [0, 3, 7, 9]


@SETTINGS
@given(
    st.sampled_from(("edge", "reflect", "wrap")),
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 2), st.integers(1, 12)),
    st.integers(1, 6),
)
def test_mirrored_slices_are_numpys(mode: Any, numbers: Any, chunk: int) -> None:
    begin, end, first, size = numbers
    assume(mode == "edge" or max(begin, end) < size)
    span = Mirrored(begin, size, mode, first)
    want = np.pad(np.arange(first, first + size), (begin, end), mode=mode)
    runs = -(-len(want) // chunk)
    windows = windows_of(span, first + size, chunk, len(want), runs)
    assert windows.length == chunk
    got: list[int | None] = []
    for run, start in enumerate(windows.starts):
        read = sources(span, int(start), chunk, len(want))
        inside = [z for z in read if z is not None]
        assert windows.keeps[run] <= min(inside)
        assert max(inside) < windows.needs[run]
        got += read
    assert got[: len(want)] == want.tolist()
    assert set(got[len(want) :]) <= {None}


@SETTINGS
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 24)),
    st.sampled_from(("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")),
    st.sampled_from(("nearest", "linear")),
    st.integers(1, 7),
)
def test_interpolated_windows_hold_every_weight(
    sizes: Any, coordinates: Any, kind: Any, chunk: int
) -> None:
    size, out_size = sizes
    span = Interpolated(size, out_size, Fraction(out_size, size), coordinates, kind)
    runs = -(-out_size // chunk)
    windows = windows_of(span, size, chunk, out_size, runs)
    for run, start in enumerate(windows.starts):
        begin = run * chunk
        weights = interpolation(
            span, int(start), windows.length, begin, chunk, np.dtype(np.float64)
        )
        assert weights.shape == (chunk, windows.length)
        for row, z in enumerate(range(begin, min(begin + chunk, out_size))):
            full = np.zeros(size + windows.length)
            full[start : start + windows.length] = weights[row]
            want = np.zeros(size + windows.length)
            for slice_, weight in span.weights(z):
                want[slice_] += weight
            assert np.array_equal(full, want)
            assert abs(full.sum() - 1) < 1e-15
            assert np.flatnonzero(full).max() < windows.needs[run]
            assert np.flatnonzero(full).min() >= windows.keeps[run]
        assert not weights[max(out_size - begin, 0) :].any()


def test_weights_are_of_the_tensors_type() -> None:
    span = Interpolated(3, 10, Fraction(10, 3), "half_pixel", "linear")
    single, double = (interpolation(span, 0, 3, 0, 10, np.dtype(t)) for t in ("f4", "f8"))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert np.array_equal(single, double.astype(np.float32))
    assert not np.array_equal(single, double)


@pytest.mark.parametrize(
    ("span", "chunk", "expected"),
    [
        (TransposedWindow(2, 2, 2, 0), 4, (2, 1, 0)),
        (TransposedWindow(2, 2, 1, 0), 4, (2, 0, 0)),
        (TransposedWindow(3, 2, 1, 1), 4, (3, 2, 0)),
        (TransposedWindow(1, 3, 1, 0), 3, (0, 0, 2)),
    ],
    ids=["dilated", "side by side", "cut", "gaps behind"],
)
def test_what_a_transposed_convolution_of_a_window_cuts(
    span: TransposedWindow, chunk: int, expected: tuple[int, int, int]
) -> None:
    begin, end, added = transposed_range(span, chunk)
    assert (begin, end, added) == expected
    length = windows_of(span, 99, chunk, 99, 1).length
    full = (length - 1) * span.stride + (span.kernel - 1) * span.dilation + 1
    assert full - begin - end + added == chunk
