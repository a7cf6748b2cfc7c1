"""Input slices that output slices need: by numbers worked out by hand, and by trying all slices."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.graph.spans import (
    NOTHING,
    TIE,
    Coordinates,
    Interpolated,
    Interpolation,
    Mirrored,
    Placed,
    Pointwise,
    Reversed,
    Rounding,
    Span,
    TransposedWindow,
    Whole,
    Window,
)

SMALL = settings(max_examples=300, deadline=None, derandomize=True)


@pytest.mark.parametrize(
    ("span", "slices", "need"),
    [
        (Pointwise(), (3, 7), (3, 7)),
        (Whole(9), (3, 4), (0, 9)),
        # A convolution of kernel 3 with padding 1; its first window reaches into the padding.
        (Window(reach=3, begin=1), (0, 1), (-1, 2)),
        (Window(reach=3, begin=1), (2, 5), (1, 6)),
        # Kernel 3, stride 2, dilation 2: reach 5.
        (Window(stride=2, reach=5, begin=2), (0, 3), (-2, 7)),
        # Max pooling 2, stride 2.
        (Window(stride=2, reach=2), (3, 5), (6, 10)),
        # Two slices cut off in front.
        (Window(begin=-2), (0, 1), (2, 3)),
        # Kernel 2, stride 2: slices 2i and 2i + 1 are input slice i's.
        (TransposedWindow(2, 2, 1, 0), (0, 1), (0, 1)),
        (TransposedWindow(2, 2, 1, 0), (1, 4), (0, 2)),
        # Kernel 3, stride 2, one cut off: slice 0 is tap 1 of slice 0, slice 1 taps 2 and 0.
        (TransposedWindow(3, 2, 1, 1), (0, 1), (0, 1)),
        (TransposedWindow(3, 2, 1, 1), (1, 2), (0, 2)),
        # The notes' example: with dilation 2 and one cut off, even slices get nothing.
        (TransposedWindow(2, 2, 2, 1), (0, 1), NOTHING),
        (TransposedWindow(2, 2, 2, 1), (4, 5), NOTHING),
        (TransposedWindow(2, 2, 2, 1), (1, 2), (0, 2)),
        (TransposedWindow(2, 2, 2, 1), (0, 4), (0, 3)),
        # The second of two inputs side by side.
        (Placed(4, 3), (0, 4), NOTHING),
        (Placed(4, 3), (3, 6), (0, 2)),
        (Placed(4, 3), (6, 9), (2, 3)),
        # x[8:1:-3] is slices 8, 5, 2.
        (Reversed(8, 3), (0, 1), (8, 9)),
        (Reversed(8, 3), (1, 3), (2, 6)),
        # Two slices of padding in front of five.
        (Mirrored(2, 5, "edge"), (0, 2), (0, 1)),
        (Mirrored(2, 5, "reflect"), (0, 1), (2, 3)),
        (Mirrored(2, 5, "reflect"), (0, 3), (0, 3)),
        (Mirrored(2, 5, "reflect"), (7, 9), (2, 4)),
        (Mirrored(2, 5, "wrap"), (0, 1), (3, 4)),
        (Mirrored(2, 5, "wrap"), (1, 3), (0, 5)),
        (Mirrored(2, 5, "wrap"), (7, 8), (0, 1)),
        (Mirrored(2, 1, "reflect"), (0, 5), (0, 1)),
    ],
    ids=str,
)
def test_an_interval_is_as_worked_out(
    span: Span, slices: tuple[int, int], need: tuple[int, int]
) -> None:
    assert span.need(*slices) == need


def interpolated(
    size: int, out: int, coordinates: Any, interpolation: Any, rounding: Any = "floor"
) -> Interpolated:
    return Interpolated(size, out, Fraction(out, size), coordinates, interpolation, rounding)


@pytest.mark.parametrize(
    ("span", "slices", "need"),
    [
        # Twice as large, nearest as PyTorch has it: slice z is slice z // 2.
        (interpolated(4, 8, "asymmetric", "nearest"), (5, 6), (2, 3)),
        (interpolated(4, 8, "asymmetric", "nearest"), (3, 7), (1, 4)),
        # Linear: the centre of slice 3 lies at (3 + ½)/2 − ½ = 1.25.
        (interpolated(4, 8, "half_pixel", "linear"), (3, 4), (1, 3)),
        # The centre of slice 0 lies before the first one: that alone is read.
        (interpolated(4, 8, "half_pixel", "linear"), (0, 1), (0, 1)),
        # Corners aligned, 4 to 7: slice 4 lies on slice 2 and reads no other.
        (interpolated(4, 7, "align_corners", "linear"), (4, 5), (2, 3)),
        (interpolated(4, 7, "align_corners", "linear"), (3, 4), (1, 3)),
        (interpolated(8, 16, "half_pixel", "cubic"), (7, 8), (2, 6)),
        (interpolated(8, 16, "half_pixel", "cubic"), (0, 1), (0, 2)),
        # Slice 2 lies on slice 1 and reads it alone; slice 1 before it reaches to slice 2.
        (interpolated(9, 15, "half_pixel", "cubic"), (2, 3), (1, 2)),
        (interpolated(9, 15, "half_pixel", "cubic"), (0, 3), (0, 3)),
        # Whatever the scale, the middle slice lies at 2; computed in float32 it may be below.
        (
            Interpolated(5, 1, Fraction(3, 10), "half_pixel_symmetric", "nearest", "floor"),
            (0, 1),
            (1, 3),
        ),
        # Half as large: the place of slice 1 is 2.5, a tie.
        (interpolated(8, 4, "half_pixel", "nearest", "round_prefer_floor"), (1, 2), (2, 3)),
        (interpolated(8, 4, "half_pixel", "nearest", "round_prefer_ceil"), (1, 2), (3, 4)),
        (interpolated(8, 4, "half_pixel", "nearest", "floor"), (1, 2), (2, 3)),
        (interpolated(8, 4, "half_pixel", "nearest", "ceil"), (1, 2), (3, 4)),
        (interpolated(9, 1, "pytorch_half_pixel", "linear"), (0, 1), (0, 1)),
        (interpolated(8, 4, "tf_half_pixel_for_nn", "nearest"), (1, 2), (3, 4)),
    ],
    ids=str,
)
def test_a_resized_slice_reads_around_its_place(
    span: Span, slices: tuple[int, int], need: tuple[int, int]
) -> None:
    assert span.need(*slices) == need


def test_steps_say_how_far_slices_lie_apart() -> None:
    assert Pointwise().step == 1
    assert Whole(5).step == 0
    assert Window(stride=3).step == 3
    assert TransposedWindow(2, 2, 1, 0).step == Fraction(1, 2)
    assert Placed(3, 4).step == 1
    assert Reversed(8, 3).step == -3
    assert interpolated(4, 8, "asymmetric", "nearest").step == Fraction(1, 2)
    assert interpolated(4, 7, "align_corners", "linear").step == Fraction(1, 2)


RANGES = st.tuples(st.integers(0, 12), st.integers(1, 8)).map(lambda r: (r[0], r[0] + r[1]))


@SMALL
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(-3, 6), RANGES)
def test_a_transposed_window_is_its_taps(
    kernel: int, stride: int, dilation: int, begin: int, slices: tuple[int, int]
) -> None:
    start, stop = slices
    read = {
        i
        for i in range(-60, 60)
        for k in range(kernel)
        if start <= i * stride - begin + k * dilation < stop
    }
    expected = (min(read), max(read) + 1) if read else NOTHING
    assert TransposedWindow(kernel, stride, dilation, begin).need(start, stop) == expected


@SMALL
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(-3, 6), RANGES)
def test_a_window_is_its_taps(
    kernel: int, stride: int, dilation: int, begin: int, slices: tuple[int, int]
) -> None:
    start, stop = slices
    read = [z * stride - begin + k * dilation for z in range(start, stop) for k in range(kernel)]
    span = Window(stride, dilation * (kernel - 1) + 1, begin)
    assert span.need(start, stop) == (min(read), max(read) + 1)


@SMALL
@given(st.integers(1, 6), st.integers(0, 5), st.sampled_from(["edge", "reflect", "wrap"]), RANGES)
def test_a_mirrored_axis_is_read_at_its_sources(
    size: int, begin: int, mode: Any, slices: tuple[int, int]
) -> None:
    start, stop = slices
    read = []
    for z in range(start - begin, stop - begin):
        if mode == "edge":
            read.append(min(max(z, 0), size - 1))
        elif mode == "wrap":
            read.append(z % size)
        else:
            while not 0 <= z < size and size > 1:  # fold at either end until it is inside
                z = -z if z < 0 else 2 * (size - 1) - z
            read.append(z if size > 1 else 0)
    assert Mirrored(begin, size, mode).need(start, stop) == (min(read), max(read) + 1)


@SMALL
@given(st.integers(0, 40), st.integers(1, 4), RANGES)
def test_a_reversed_axis_is_read_backwards(
    first: int, stride: int, slices: tuple[int, int]
) -> None:
    read = [first - z * stride for z in range(*slices)]
    assert Reversed(first, stride).need(*slices) == (min(read), max(read) + 1)


SPANS = st.one_of(
    st.builds(Window, st.integers(1, 4), st.integers(1, 6), st.integers(-3, 3)),
    st.builds(Whole, st.integers(1, 9)),
    st.builds(Placed, st.integers(0, 9), st.integers(1, 9)),
    st.builds(
        TransposedWindow, st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 4)
    ),
    st.builds(Reversed, st.integers(0, 30), st.integers(1, 4)),
    st.builds(
        interpolated,
        st.integers(1, 12),
        st.integers(1, 24),
        st.sampled_from(get_args(Coordinates)),
        st.sampled_from(get_args(Interpolation)),
        st.sampled_from(get_args(Rounding)),
    ),
)


@SMALL
@given(SPANS, RANGES)
def test_a_range_needs_what_its_slices_need(span: Span, slices: tuple[int, int]) -> None:
    intervals = [span.need(z, z + 1) for z in range(*slices)]
    filled = [interval for interval in intervals if interval[0] < interval[1]]
    start, stop = span.need(*slices)
    if filled:
        assert (start, stop) == (min(low for low, _ in filled), max(high for _, high in filled))
    else:
        assert start >= stop


@SMALL
@given(
    st.integers(1, 12),
    st.integers(1, 24),
    st.sampled_from(get_args(Coordinates)),
    st.sampled_from(get_args(Rounding)),
)
def test_nearest_reads_one_slice_but_near_a_tie(
    size: int, out: int, coordinates: Any, rounding: Any
) -> None:
    span = interpolated(size, out, coordinates, "nearest", rounding)
    for z in range(out):
        start, stop = span.need(z, z + 1)
        doubled = span.place(z) * 2
        near = abs(doubled - round(doubled)) <= 2 * TIE
        assert stop - start == 1 or (near and stop - start == 2)
        rounded = {
            "floor": math.floor(span.place(z)),
            "ceil": math.ceil(span.place(z)),
            "round_prefer_floor": math.ceil(span.place(z) - Fraction(1, 2)),
            "round_prefer_ceil": math.floor(span.place(z) + Fraction(1, 2)),
        }[rounding]
        assert start <= min(max(rounded, 0), size - 1) < stop
