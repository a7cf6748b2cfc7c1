"""Levels of sizes are found so that joins agree; where none can, the join is named."""

from __future__ import annotations

import pytest

from volunet.graph.netron.scales import Program
from volunet.graph.netron.windows_shown import Option, exact_options, options_of


def test_the_cheapest_step_that_makes_the_join_agree() -> None:
    program = Program(4)
    program.step(0, 1, [Option(0, 0.0), Option(1, 1.5)])
    program.step(1, 2, [Option(0, 0.0), Option(1, 1.0)])
    program.step(2, 3, [Option(-1, 0.0)])
    program.equal(0, 3)
    program.fix(0, 0.0)
    answer = program.solve()
    assert answer is not None
    assert [option.halvings for option in answer[0]] == [0, 1, -1]
    assert answer[1] == []


def test_a_join_that_cannot_agree_is_named() -> None:
    program = Program(3)
    program.step(0, 1, [Option(1, 0.0)])
    program.step(1, 2, [Option(1, 0.0)])
    program.equal(0, 0)
    wrong = program.equal(0, 2)
    program.fix(0, 0.0)
    answer = program.solve()
    assert answer is not None
    assert answer[1] == [wrong]


@pytest.mark.parametrize(
    ("op_type", "kernel", "d", "size", "stride", "begin"),
    [
        ("Conv", 3, 32, 32, 1, 1),
        ("Conv", 3, 32, 30, 1, 0),
        ("Conv", 3, 32, 16, 2, 1),
        ("Conv", 7, 224, 112, 2, 3),
        ("Conv", 2, 32, 16, 2, 0),
        ("Conv", 4, 32, 16, 2, 1),
        ("Conv", 16, 224, 14, 16, 0),
        ("MaxPool", 0, 145, 72, 2, 0),
        ("ConvTranspose", 2, 9, 18, 2, 0),
        ("ConvTranspose", 4, 9, 18, 2, 1),
        ("ConvTranspose", 3, 9, 18, 2, 1),
    ],
)
def test_the_usual_window_between_two_sizes(
    op_type: str, kernel: int, d: int, size: int, stride: int, begin: int
) -> None:
    best = min(exact_options(op_type, kernel, d, size), key=lambda option: option.cost)
    assert (best.stride, best.begin, best.size(op_type, d)) == (stride, begin, size)


@pytest.mark.parametrize(
    ("op_type", "kernel", "halvings"),
    [("Conv", 3, 0), ("Conv", 1, 0), ("Conv", 2, 1), ("MaxPool", 0, 1), ("ConvTranspose", 2, -1),
     ("ConvTranspose", 3, -1), ("ConvTranspose", 4, -1), ("Resize", 0, -1)],
)  # fmt: skip
def test_what_is_assumed_where_nothing_is_shown(op_type: str, kernel: int, halvings: int) -> None:
    best = min(options_of(op_type, kernel, 1.0), key=lambda option: option.cost)
    assert best.halvings == halvings
