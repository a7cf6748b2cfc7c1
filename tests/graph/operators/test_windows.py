"""The geometry that convolutions and poolings share, by numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.graph.operators.conv import conv_windows
from volunet.graph.operators.windows import AxisWindow, repeat
from volunet.graph.sizes import symbol
from volunet.graph.spans import Window

D = symbol("d")


@pytest.mark.parametrize(
    ("window", "size", "floor", "ceil"),
    [
        (AxisWindow(3, begin=1, end=1), 9, 9, 9),
        (AxisWindow(2, 2), 9, 4, 5),
        (AxisWindow(2, 2), 8, 4, 4),
        (AxisWindow(3, 2, begin=1, end=1), 9, 5, 5),
        (AxisWindow(3, 2, begin=1, end=1), 8, 4, 5),
        # A fourth window would begin at slice 9, behind the last one.
        (AxisWindow(2, 3, begin=1, end=1), 8, 3, 3),
        (AxisWindow(3, 1, 2), 9, 5, 5),
        # Windows 1 … 2 of 5 slices: the second would begin in the padding behind.
        (AxisWindow(1, 5), 5, 1, 1),
    ],
)
def test_output_sizes(window: AxisWindow, size: int, floor: int, ceil: int) -> None:
    assert window.size(size) == floor
    assert window.ceil_size(size) == ceil


def test_output_sizes_are_formulas() -> None:
    assert str(AxisWindow(3, begin=1, end=1).size(D)) == "d"
    assert str(AxisWindow(2, 2).size(D)) == "⌊d/2⌋"
    assert str(AxisWindow(2, 2).ceil_size(D)) == "⌊(d + 1)/2⌋"
    assert str(AxisWindow(3, 2, begin=1, end=1).size(D)) == "⌊(d + 1)/2⌋"
    assert str(AxisWindow(5, 1, 2).size(D)) == "d − 8"


def test_a_span_has_the_windows_numbers() -> None:
    assert AxisWindow(3, 2, 4, 5, 6).span() == Window(2, 9, 5)


@pytest.mark.parametrize(
    ("auto_pad", "pads"), [("SAME_UPPER", [(0, 1), (1, 1)]), ("SAME_LOWER", [(1, 0), (1, 1)])]
)
def test_same_splits_what_it_takes(
    one: Any, numbers: Any, auto_pad: str, pads: list[tuple[int, int]]
) -> None:
    model = one("Conv", [numbers(1, 1, 6, 7)], [numbers(1, 1, 3, 3)], strides=[2, 2],
                auto_pad=auto_pad)  # fmt: skip
    assert [(w.begin, w.end) for w in conv_windows(model.node)] == pads
    network, _ = model.open(ones=True)
    assert [str(size) for size in network.outputs[0].shape[2:]] == ["⌊(h + 1)/2⌋", "⌊(w + 1)/2⌋"]


def test_equal_numbers_are_written_once() -> None:
    assert repeat((2, 2, 2)) == "2"
    assert repeat((1, 2, 2)) == "(1, 2, 2)"
