"""Which input slices an operator needs for a range of output slices, on one axis.

An operator's module says which kind of span it has on an axis; the arithmetic of each kind stands
here, once. Ranges are half-open, [start, stop), and may reach below 0 or past the input's end:
those slices are the operator's own padding. A range whose start is not below its stop is empty: the
output slices depend on no input slice at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, Protocol, TypeAlias

Interval: TypeAlias = tuple[int, int]
Locality = Literal["pointwise", "local", "global"]

NOTHING: Final[Interval] = (0, 0)


class Span(Protocol):
    """How output slices on an axis depend on input slices."""

    @property
    def locality(self) -> Locality:
        """``pointwise``: slice z needs slice z; ``local``: a neighbourhood; ``global``: all."""
        ...

    @property
    def step(self) -> Fraction:
        """Input slices from one output slice to the next, on average; 0 for a global span."""
        ...

    def need(self, start: int, stop: int) -> Interval:
        """The input slices that output slices [start, stop) need, start < stop."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Pointwise:
    """Output slice z needs input slice z."""

    locality: Locality = "pointwise"
    step: Fraction = Fraction(1)

    def need(self, start: int, stop: int) -> Interval:
        """[start, stop)."""
        return start, stop


@dataclass(frozen=True)
class Whole:
    """Every output slice needs every input slice.

    Attributes:
        size: Input slices.
    """

    size: int
    locality: Locality = "global"
    step: Fraction = Fraction(0)

    def need(self, start: int, stop: int) -> Interval:
        """[0, size)."""
        return 0, self.size


@dataclass(frozen=True)
class Window:
    """A window that slides over the input: convolutions, pooling; also pads, crops and strides.

    Attributes:
        stride: Input slices from one window to the next.
        reach: Input slices from the first of a window to its last, both included:
            dilation·(kernel − 1) + 1.
        begin: Slices of padding in front; below 0 where slices are cut off.
    """

    stride: int = 1
    reach: int = 1
    begin: int = 0
    locality: Locality = "local"

    @property
    def step(self) -> Fraction:
        """The stride."""
        return Fraction(self.stride)

    def need(self, start: int, stop: int) -> Interval:
        """[start·stride − begin, (stop − 1)·stride − begin + reach).

        Source:
            Dumoulin and Visin, https://arxiv.org/abs/1603.07285, relationship 6.
        """
        return start * self.stride - self.begin, (stop - 1) * self.stride - self.begin + self.reach


@dataclass(frozen=True)
class TransposedWindow:
    """A transposed convolution: input slice i adds to output slices i·stride − begin + k·dilation.

    Attributes:
        kernel: Taps, k = 0 … kernel − 1.
        stride: Output slices from one input slice to the next.
        dilation: Output slices from one tap to the next.
        begin: Output slices cut off in front.
    """

    kernel: int
    stride: int
    dilation: int
    begin: int
    locality: Locality = "local"

    @property
    def step(self) -> Fraction:
        """1 / stride."""
        return Fraction(1, self.stride)

    def need(self, start: int, stop: int) -> Interval:
        """From the smallest to the largest i with start ≤ i·stride − begin + k·dilation < stop.

        Exact: a tap that meets no output slice of the range does not widen it. With kernel 2,
        stride 2 and dilation 2, as the notes have it, every second slice needs nothing.

        Source:
            https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose3d.html
        """
        low: list[int] = []
        high: list[int] = []
        for tap in range(self.kernel):
            offset = self.begin - tap * self.dilation
            first = -(-(start + offset) // self.stride)
            last = (stop - 1 + offset) // self.stride
            if first <= last:
                low.append(first)
                high.append(last)
        return (min(low), max(high) + 1) if low else NOTHING


@dataclass(frozen=True)
class Placed:
    """One of several inputs side by side: it is output slices [begin, begin + size).

    Unlike a window's, slices outside of it are not padding but another input's.

    Attributes:
        begin: Output slice of input slice 0.
        size: Input slices.
    """

    begin: int
    size: int
    locality: Locality = "local"
    step: Fraction = Fraction(1)

    def need(self, start: int, stop: int) -> Interval:
        """[start − begin, stop − begin) as far as it lies in the input, or nothing."""
        first, last = max(start - self.begin, 0), min(stop - self.begin, self.size)
        return (first, last) if first < last else NOTHING


@dataclass(frozen=True)
class Reversed:
    """A slice with a negative step: output slice z is input slice first − z·step.

    Attributes:
        first: Input slice of output slice 0.
        stride: Input slices from one output slice to the next, above 0, counted downwards.
    """

    first: int
    stride: int
    locality: Locality = "local"

    @property
    def step(self) -> Fraction:
        """−stride."""
        return Fraction(-self.stride)

    def need(self, start: int, stop: int) -> Interval:
        """[first − (stop − 1)·stride, first − start·stride + 1)."""
        return self.first - (stop - 1) * self.stride, self.first - start * self.stride + 1


@dataclass(frozen=True)
class Mirrored:
    """Padding with slices of the input itself, so that the ends read inwards.

    Attributes:
        begin: Slices of padding in front.
        size: Input slices, without those that are cut off.
        mode: ``edge``: the last slice again; ``reflect``: mirrored at the last slice, which is not
            repeated; ``wrap``: from the other end.
        first: Input slices that are cut off in front.
    """

    begin: int
    size: int
    mode: Literal["edge", "reflect", "wrap"]
    first: int = 0
    locality: Locality = "local"
    step: Fraction = Fraction(1)

    def need(self, start: int, stop: int) -> Interval:
        """The smallest range with the source slices of all of [start, stop).

        Source:
            https://onnx.ai/onnx/operators/onnx__Pad.html
        """
        if start >= self.begin and stop <= self.begin + self.size:
            return start - self.begin + self.first, stop - self.begin + self.first
        sources = [self._source(z - self.begin) + self.first for z in range(start, stop)]
        return min(sources), max(sources) + 1

    def _source(self, z: int) -> int:
        if self.mode == "edge":
            return min(max(z, 0), self.size - 1)
        if self.mode == "wrap":
            return z % self.size
        period = max(2 * (self.size - 1), 1)
        folded = z % period
        return min(folded, period - folded) if self.size > 1 else 0


Coordinates = Literal[
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
    "tf_half_pixel_for_nn",
]  # fmt: skip
Interpolation = Literal["nearest", "linear", "cubic"]
Rounding = Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]

TIE: Final = Fraction(1, 2000)
"""Distance from a tie within which both neighbours are taken: engines compute coordinates in
float32 and round a near tie either way."""


@dataclass(frozen=True)
class Interpolated:
    """Resizing by interpolation.

    Attributes:
        size: Input slices.
        out_size: Output slices.
        scale: Output by input, as the operator was given it.
        coordinates: How an output slice's place in the input is computed.
        interpolation: Which input slices around that place are read.
        rounding: With ``nearest``, which of two neighbours counts.
        antialias: Whether a shrinking axis reads as far as it shrinks.
        is_endless: Whether the input is taken to go on at both ends, instead of its last slices
            standing for all behind them.
    """

    size: int
    out_size: int
    scale: Fraction
    coordinates: Coordinates
    interpolation: Interpolation
    rounding: Rounding = "round_prefer_floor"
    antialias: bool = False
    is_endless: bool = False
    locality: Locality = "local"

    @property
    def step(self) -> Fraction:
        """1 / scale."""
        if self.coordinates == "align_corners":
            return Fraction(max(self.size - 1, 0), max(self.out_size - 1, 1))
        return 1 / self.scale

    def need(self, start: int, stop: int) -> Interval:
        """From the first slice read for `start` to the last one read for `stop` − 1.

        Source:
            https://onnx.ai/onnx/operators/onnx__Resize.html
        """
        # A slice whose place is a whole number reads that one alone; its neighbour may reach past.
        low = min(self._around(self.place(z))[0] for z in range(start, min(start + 2, stop)))
        high = max(self._around(self.place(z))[1] for z in range(max(start, stop - 2), stop))
        if self.is_endless:
            return low, high + 1
        last = self.size - 1
        return min(max(low, 0), last), min(max(high, 0), last) + 1

    def weights(self, z: int) -> list[tuple[int, float]]:
        """The input slices that output slice z is made of, nearest or linear, with their weights.

        Slices past an end are the last one before it, as engines take them.
        """
        place = self.place(z)
        last = self.size - 1
        if self.interpolation == "nearest":
            shift = {"round_prefer_floor": -Fraction(1, 2), "round_prefer_ceil": Fraction(1, 2)}
            upwards = self.rounding in ("ceil", "round_prefer_floor")
            moved = place + shift.get(self.rounding, 0)
            chosen = math.ceil(moved) if upwards else math.floor(moved)
            return [(min(max(chosen, 0), last), 1.0)]
        low = math.floor(place)
        share = float(place - low)
        pairs = [(low, 1.0 - share), (low + 1, share)]
        return [(min(max(slice_, 0), last), weight) for slice_, weight in pairs if weight]

    def place(self, z: int) -> Fraction:
        """Place of output slice z in the input, in slices."""
        x = Fraction(z)
        half = Fraction(1, 2)
        match self.coordinates:
            case "align_corners":
                return x * (self.size - 1) / (self.out_size - 1) if self.out_size > 1 else x * 0
            case "asymmetric":
                return x / self.scale
            case "tf_half_pixel_for_nn":
                return (x + half) / self.scale
            case "pytorch_half_pixel" if self.out_size == 1:
                return x * 0
            case "half_pixel_symmetric":
                adjustment = self.out_size / (self.scale * self.size)
                centre = Fraction(self.size, 2)
                return centre * (1 - adjustment) + (x + half) / self.scale - half
            case _:
                return (x + half) / self.scale - half

    def _around(self, place: Fraction) -> tuple[int, int]:
        """The first and the last slice that an output at this place reads."""
        if self.antialias and self.scale < 1:
            # Slices at the filter's very ends have no weight.
            radius = (1 if self.interpolation == "linear" else 2) / self.scale
            return math.floor(place - radius) + 1, math.ceil(place + radius) - 1
        if self.interpolation != "nearest" and place.denominator == 1:
            return int(place), int(place)
        if self.interpolation == "cubic":
            return math.floor(place - TIE) - 1, math.floor(place + TIE) + 2
        if self.interpolation == "linear":
            return math.floor(place - TIE), math.ceil(place + TIE)
        shift = {"round_prefer_floor": -Fraction(1, 2), "round_prefer_ceil": Fraction(1, 2)}
        if self.rounding in ("floor", "round_prefer_ceil"):
            moved = place + shift.get(self.rounding, 0)
            return self._near(moved, math.floor)
        return self._near(place + shift.get(self.rounding, 0), math.ceil)

    def _near(self, place: Fraction, rounding) -> tuple[int, int]:  # type: ignore[no-untyped-def]
        if self._is_exact and (self.scale.denominator == 1 or place.denominator <= _EXACT):
            # Halves, quarters … are exact in float32, so that every engine rounds them alike.
            exact = rounding(place)
            return exact, exact
        return rounding(place - TIE), rounding(place + TIE)

    @property
    def _is_exact(self) -> bool:
        """Whether a place that is a float32 comes out of an engine's float32 as that number.

        It does where it is one division of exact numbers: whole ones, or by a scale that is a
        float32 itself, and not only near to one, as 5/7 is.
        """
        if self.coordinates == "align_corners":
            return True
        shifted = self.coordinates == "half_pixel_symmetric"
        if shifted and self.out_size != self.scale * self.size:
            return False
        return self.scale.denominator & (self.scale.denominator - 1) == 0


_EXACT: Final = 1 << 10
"""Denominator of places up to which they are float32 numbers."""
