from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.graph.drawing.layers import plan_layers
from volunet.graph.drawing.ordering import count_crossings, plan_order

Graph = tuple[list[tuple[int, int]], list[tuple[int, int]]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Boxes of any size, and edges from earlier to later ones; also several parts, and none."""
    sizes = draw(st.lists(st.tuples(st.integers(20, 300), st.integers(10, 90)), max_size=14))
    pairs = list(combinations(range(len(sizes)), 2))
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=30)) if pairs else []
    return sizes, edges


@given(graphs())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_every_line_goes_down_and_no_two_boxes_overlap(graph: Graph) -> None:
    sizes, edges = graph
    layout = plan_layers(sizes, edges)
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(layout.corners, sizes, strict=True)]

    for (start, end), route in zip(edges, layout.routes, strict=True):
        assert route[0][1] == boxes[start][3]
        assert route[-1][1] == boxes[end][1] >= boxes[start][3] + 26
        assert boxes[start][0] <= route[0][0] <= boxes[start][2]
        assert boxes[end][0] <= route[-1][0] <= boxes[end][2]
        assert all(y1 >= y0 for (_, y0), (_, y1) in pairwise(route))
    for one, other in combinations(boxes, 2):
        beside = one[2] + 28 <= other[0] + 1e-6 or other[2] + 28 <= one[0] + 1e-6
        assert beside or one[3] <= other[1] or other[3] <= one[1]
    for left, top, right, bottom in boxes:
        assert left >= -1e-6
        assert top >= 0
        assert right <= layout.width + 1e-6
        assert bottom <= layout.height + 1e-6


@given(graphs())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_line_passes_through_a_box(graph: Graph) -> None:
    sizes, edges = graph
    layout = plan_layers(sizes, edges)
    for (start, end), route in zip(edges, layout.routes, strict=True):
        for (x0, y0), (x1, y1) in pairwise(route):
            for index, ((x, y), (w, h)) in enumerate(zip(layout.corners, sizes, strict=True)):
                if index in (start, end) or y >= y1 or y + h <= y0:
                    continue
                assert x0 == x1, "a step to the side lies between two layers"
                assert not x - 10 < x0 < x + w + 10


def test_the_longest_path_is_one_column_and_a_skip_a_straight_line_beside_it() -> None:
    edges = [(i, i + 1) for i in range(9)] + [(1, 8), (3, 6)]
    layout = plan_layers([(100 + 7 * i, 30) for i in range(10)], edges)

    middles = {x + (100 + 7 * i) / 2 for i, (x, _) in enumerate(layout.corners)}
    assert len(middles) == 1
    outer, inner = layout.routes[-2], layout.routes[-1]
    (outer_x,) = {x for x, _ in outer[2:-1]}
    (inner_x,) = {x for x, _ in inner[2:-1]}
    right = max(x + 100 + 7 * i for i, (x, _) in enumerate(layout.corners) if i < 9)
    assert outer_x > inner_x > right - 14
    assert plan_order(10, edges).spine == list(range(10))


def test_nested_skips_do_not_cross() -> None:
    edges = [(i, i + 1) for i in range(11)] + [(1, 10), (2, 9), (3, 8), (4, 7)]
    layers = plan_order(12, edges)
    assert count_crossings(layers.order, layers.below) == 0


def test_crossings_are_swept_away() -> None:
    # Two chains that cross in the order of their numbers, and need not.
    edges = [(0, 3), (1, 2), (2, 5), (3, 4), (1, 4), (0, 5), (4, 6), (5, 6)]
    layers = plan_order(7, edges)
    assert count_crossings(layers.order, layers.below) == 1


@pytest.mark.parametrize(("order", "expected"), [([[0, 1], [2, 3]], 1), ([[1, 0], [2, 3]], 0)])
def test_crossings_are_counted(order: list[list[int]], expected: int) -> None:
    assert count_crossings(order, [[3], [2], [], []]) == expected


def test_an_input_stands_just_above_what_reads_it() -> None:
    layout = plan_layers([(50, 20)] * 5, [(0, 2), (2, 3), (3, 4), (1, 4)])
    assert layout.corners[1][1] == layout.corners[3][1]


def test_nothing_is_an_empty_layout() -> None:
    layout = plan_layers([], [])
    assert (layout.corners, layout.routes, layout.width, layout.height) == ([], [], 0.0, 0.0)
