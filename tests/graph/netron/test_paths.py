"""Path data as Netron, editors and optimisers write it gives the same lines."""

from __future__ import annotations

import pytest

from volunet.graph.netron.geometry import Transform, read_transform
from volunet.graph.netron.paths import read_path


@pytest.mark.parametrize(
    "data",
    ["M5,0h10a5,5 0 0 1 5,5v11z", "M5 0h10a5 5 0 0 1 5 5v11z", "m5 0h10a5 5 0 015 5v11z",
     "M5 0L15 0A5 5 0 0 1 20 5V16Z", "M 5,0 15,0 c2.8 0 5 2.2 5 5 V 16 z"],
)  # fmt: skip
def test_one_shape_in_many_writings(data: str) -> None:
    (line,) = read_path(data)
    assert line.is_closed
    assert line.points == ((5, 0), (15, 0), (20, 5), (20, 16), (5, 0))


def test_several_lines_of_one_path() -> None:
    lines = read_path("M1 2L3 4m1-1l.5.5-1-1")
    assert [line.points for line in lines] == [
        ((1, 2), (3, 4)),
        ((4, 3), (4.5, 3.5), (3.5, 2.5)),
    ]
    assert not any(line.is_closed for line in lines)


@pytest.mark.parametrize(
    ("data", "count"),
    [
        ("", 0),
        ("L", 0),
        ("M1 1", 0),
        ("M1 1L2", 0),
        ("M1 1L2 2L3", 1),
        ("M0 0L1e999 0", 0),
        ("x", 0),
    ],
)
def test_data_is_read_up_to_its_first_fault(data: str, count: int) -> None:
    assert len(read_path(data)) == count


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("translate(10, 20)", (11, 22)),
        ("translate(10)", (11, 2)),
        ("scale(2)translate(1 1)", (4, 6)),
        ("matrix(1 0 0 1 5 6)", (6, 8)),
        ("rotate(90)", (-2, 1)),
        ("rotate(180, 1, 2)", (1, 2)),
        ("perspective(3)", (1, 2)),
        (None, (1, 2)),
    ],
)
def test_transforms(text: str | None, point: tuple[float, float]) -> None:
    assert read_transform(text)((1.0, 2.0)) == pytest.approx(point)


def test_transforms_within_transforms() -> None:
    both = Transform(e=10) @ Transform(a=2, d=2)
    assert both((1, 1)) == (12, 2)
    assert both.scale == 2
