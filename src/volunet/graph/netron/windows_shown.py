"""How an operator with windows may change a size on one axis: what is shown decides, then habit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from volunet.graph.operators.conv_transpose import AxisTransposed
from volunet.graph.operators.windows import AxisWindow
from volunet.graph.sizes import Size

TRANSPOSED: Final = "ConvTranspose"
POOLS: Final = ("MaxPool", "AveragePool", "LpPool")
RESIZES: Final = ("Resize", "Upsample")
SCALING: Final = ("Conv", TRANSPOSED, *POOLS, *RESIZES)
"""Operators that change sizes by a factor."""


@dataclass(frozen=True)
class Option:
    """One way in which an operator may work along one axis.

    Attributes:
        halvings: How often it halves the size; below 0: how often it doubles it.
        cost: How unusual it is.
        kernel: Taps.
        stride: Its stride; of a resizing the factor, as a fraction of 1 where it shrinks.
        begin: Padding in front.
        end: Padding behind.
        output_padding: Of a transposed convolution.
    """

    halvings: float
    cost: float
    kernel: int = 1
    stride: float = 1
    begin: int = 0
    end: int = 0
    output_padding: int = 0

    def size(self, op_type: str, d: int) -> Size:
        """The output's size."""
        if op_type in RESIZES:
            return int(d * self.stride)
        stride = int(self.stride)
        if op_type == TRANSPOSED:
            return AxisTransposed(
                self.kernel, stride, 1, self.begin, self.end, self.output_padding
            ).size(d)
        return AxisWindow(self.kernel, stride, 1, self.begin, self.end).size(d)


def options_of(op_type: str, kernel: int, downs: float) -> Iterator[Option]:
    """The ways in which an operator may work along an axis, the usual ones cheap.

    Args:
        op_type: The operator.
        kernel: Its kernel on the axis; 0 of a pooling or a resizing, whose kernel is not shown.
        downs: The cost of a convolution that halves.
    """
    if op_type in RESIZES:
        for times, cost in ((1, 0.0), (2, 2.0), (3, 3.0), (4, 4.0), (0, 3.0), (5, 5.0)):
            yield Option(-times, cost, stride=2**times)
        for factor in (3, 5, 6):
            yield Option(-math.log2(factor), 5.0, stride=factor)
        yield Option(1, 5.0, stride=0.5)
    elif op_type in POOLS:
        yield Option(1, 0.0, 2, 2)
        yield Option(1, 0.3, 3, 2, 1, 1)
        yield Option(0, 2.0, 1, 1)
        yield Option(0, 2.5, 3, 1, 1, 1)
        yield Option(2, 3.0, 4, 4)
        yield Option(math.log2(3), 3.0, 3, 3)
        yield Option(1, 3.5, 3, 2)
        yield Option(3, 4.0, 8, 8)
    elif op_type == TRANSPOSED:
        yield from _transposed(kernel)
    else:
        yield from _convolution(kernel, downs)


def _convolution(kernel: int, downs: float) -> Iterator[Option]:
    half = kernel // 2
    if kernel % 2:
        yield Option(0, 0.0, kernel, 1, half, half)
        yield Option(1, downs, kernel, 2, half, half)
        yield Option(2, downs + 3, kernel, 4, half, half)
        yield Option(math.log2(3), downs + 4, kernel, 3, half, half)
        return
    yield Option(math.log2(kernel), 0.0, kernel, kernel)
    if kernel > 2:
        yield Option(1, 0.2, kernel, 2, half - 1, half - 1)
    yield Option(0, 4.0, kernel, 1, half - 1, half)


def _transposed(kernel: int) -> Iterator[Option]:
    if kernel % 2:
        half = kernel // 2
        yield Option(-1, 0.0 if kernel > 1 else 4.0, kernel, 2, half, half, 1)
        yield Option(0, 2.0 if kernel > 1 else 0.0, kernel, 1, half, half)
        if kernel > 1:
            yield Option(-math.log2(kernel), 2.5, kernel, kernel)
        return
    if kernel == 2:
        yield Option(-1, 0.0, 2, 2)
        return
    yield Option(-1, 0.0, kernel, 2, kernel // 2 - 1, kernel // 2 - 1)
    yield Option(-math.log2(kernel), 0.5, kernel, kernel)


def exact_options(op_type: str, kernel: int, d: int, size: int) -> Iterator[Option]:
    """The ways that make one size of another: padding up to the kernel, strides up to 4."""
    halvings = math.log2(d / size)
    kernels = [kernel] if kernel else ([1] if op_type in RESIZES else [2, 3, 1, 4, 5, 8])
    if op_type in RESIZES:
        yield Option(halvings, 0.0, stride=size / d)
        return
    for place, k in enumerate(kernels):
        for stride in range(1, max(5, k + 1)):
            for begin in range(k):
                for end in (begin, begin + 1):
                    for extra in range(stride if op_type == TRANSPOSED else 1):
                        cost = place + _unusual(op_type, k, stride, begin, end, extra)
                        option = Option(halvings, cost, k, stride, begin, end, extra)
                        if option.size(op_type, d) == size:
                            yield option


def _unusual(op_type: str, kernel: int, stride: int, begin: int, end: int, extra: int) -> float:
    same = kernel // 2 if kernel % 2 else max(0, kernel // 2 - 1)
    cost = 0.3 * extra + 3.0 * (begin != end)
    if op_type in POOLS:
        usual = 0 if stride == kernel else kernel // 2
        return cost + abs(begin - usual) + 2 * (stride > kernel) + 0.5 * (stride != kernel)
    if kernel % 2 == 0 and stride == kernel:
        return cost + begin
    return cost + min(abs(begin - same), 0.5 + begin) + 0.4 * (stride > kernel) + 0.1 * (stride > 2)
