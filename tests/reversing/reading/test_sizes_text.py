"""Sizes in a call are written by shapes at hand, and the text gives the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.graph.bounds import maximum, minimum, truncate_div
from volunet.graph.evaluation import evaluate
from volunet.graph.sizes import Expression, Size, ceil_div, floor_div, symbol
from volunet.reversing.reading.sizes_text import Known, formula, write_sizes

D, H, N = symbol("d"), symbol("h"), symbol("n")
PLACES = {"d": "x.shape[2]", "h": "x.shape[3]"}


def _cut(size: Size, k: int) -> Size:
    cut = truncate_div(size, k)
    return size if cut is None else cut


_BY_NUMBER: st.SearchStrategy[Callable[[Size, int], Size]] = st.sampled_from(
    [floor_div, ceil_div, _cut, lambda s, k: s * k, lambda s, k: s + k - 4, lambda s, k: k - s]
)
_OF_TWO: st.SearchStrategy[Callable[[Any, Any], Size]] = st.sampled_from(
    [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, maximum, minimum]
)
FORMULAS: st.SearchStrategy[Size] = st.recursive(
    st.sampled_from([D, H]),
    lambda inner: st.one_of(
        st.builds(lambda a, k, how: how(a, k), inner, st.integers(1, 8), _BY_NUMBER),
        st.builds(lambda a, b, how: how(a, b), inner, inner, _OF_TWO),
    ),
    max_leaves=8,
)
SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))


def computed(text: str, **names: Any) -> Any:
    return eval(text, {"max": max, "min": min, "int": int, **names})  # noqa: S307 - our own text


@settings(max_examples=400, deadline=None, derandomize=True)
@given(FORMULAS, st.lists(SIZES, min_size=1, max_size=5))
def test_a_formula_as_python_gives_the_same_numbers(
    size: Size, sizes: list[tuple[int, int]]
) -> None:
    text = formula(size, PLACES)
    for d, h in sizes:
        x = SimpleNamespace(shape=(1, 1, d, h))
        assert computed(text, x=x) == evaluate(size, {"d": d, "h": h})


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (7, "7"),
        (D, "x.shape[2]"),
        (floor_div(D, 2) * 2, "(x.shape[2] // 2) * 2"),
        (3 - D, "3 - x.shape[2]"),
        (ceil_div(D, 4), "((x.shape[2] + 3) // 4)"),
        (maximum(D, H), None),
        (_cut(floor_div(D, 2) - 5, 3), "int(((x.shape[2] // 2) - 5) / 3)"),
        (_cut(D - H, 3), "int((x.shape[2] - x.shape[3]) / 3)"),
    ],
    ids=["number", "symbol", "even", "difference", "up", "maximum", "towards 0", "of two"],
)
def test_how_formulas_look(size: Size, text: str | None) -> None:
    written = formula(size, PLACES)
    if text is None:
        assert written in ("max(x.shape[2], x.shape[3])", "max(x.shape[3], x.shape[2])")
    else:
        assert written == text


X = Known("x", (N, 3, D, H))
HALF = Known("p", (N, 8, floor_div(D, 2), floor_div(H, 2)))
TWICE = Known("u", (N, 8, floor_div(D, 2) * 2, floor_div(H, 2) * 2))
GAPS = (D - floor_div(D, 2) * 2, H - floor_div(H, 2) * 2)


@pytest.mark.parametrize(
    ("call", "sizes", "inputs", "nearby", "written", "more"),
    [
        ("F.interpolate({0}, size=({s0}, {s1}))", (D, H), ("p",), (HALF, X),
         "F.interpolate({0}, size={1}.shape[2:])", ("x",)),
        ("{0}.reshape({s0}, -1)", (N,), ("p",), (HALF, X), "{0}.reshape({0}.shape[0], -1)", ()),
        ("F.interpolate({0}, size=({s0}, {s1}))", (D, H), ("x",), (X, HALF),
         "F.interpolate({0}, size={0}.shape[2:])", ()),
        ("f({0}, ({s0}, {s1}), {s0})", (D, H), ("x",), (X,),
         "f({0}, ({0}.shape[2], {0}.shape[3]), {0}.shape[2])", ()),
        ("F.pad({0}, [0, {s0}, 0, {s1}])", (GAPS[1], GAPS[0]), ("u",), (TWICE, X),
         "F.pad({0}, [side for a, b in zip({0}.shape[:1:-1], {1}.shape[:1:-1], strict=True) "
         "for side in (0, b - a)])", ("x",)),
        ("F.pad({0}, [0, {s0}, 0, {s1}])", (ceil_div(H, 4) * 4 - H, ceil_div(D, 4) * 4 - D),
         ("x",), (X,),
         "F.pad({0}, [side for size in reversed({0}.shape[2:]) for side in (0, -size % 4)])", ()),
        ("F.pad({0}, [0, {s0}, 0, 0])", (GAPS[1],), ("u",), (TWICE, X),
         "F.pad({0}, [0, {1}.shape[3] - {0}.shape[3], 0, 0])", ("x",)),
        ("torch.zeros(({s0},))", (D,), (), (X,), "torch.zeros(({0}.shape[2],))", ("x",)),
        ("torch.zeros({s0}, {s1})", GAPS, (), (TWICE, X),
         "torch.zeros({1}.shape[2] - {0}.shape[2], {1}.shape[3] - {0}.shape[3])", ("u", "x")),
    ],
    ids=["as another", "as its own", "itself", "list", "pads of two", "pads of one", "one side",
         "no input", "two more"],
)  # fmt: skip
def test_how_sizes_in_a_call_look(
    call: str, sizes: Any, inputs: Any, nearby: Any, written: str, more: Any
) -> None:
    assert write_sizes(call, sizes, inputs, nearby) == (written, more)


def test_one_axis_is_written_as_all_of_them() -> None:
    line = Known("x", (N, 3, D))
    assert write_sizes("F.interpolate({0}, size=({s0},))", (D,), ("x",), (line,)) == (
        "F.interpolate({0}, size={0}.shape[2:])",
        (),
    )


@pytest.mark.parametrize(
    ("size", "nearby"),
    [(symbol("w"), (X, HALF)), (D, ()), (D + symbol("w"), (X,))],
    ids=["of no tensor", "nothing nearby", "in part"],
)
def test_a_size_that_follows_from_nothing_is_none(size: Expression, nearby: Any) -> None:
    assert write_sizes("f({0}, {s0})", (size,), ("x",), nearby) is None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(FORMULAS.filter(lambda size: isinstance(size, Expression)), min_size=1, max_size=3),
    st.lists(FORMULAS, max_size=3),
    st.booleans(),
    SIZES,
)
def test_the_call_asks_for_the_right_numbers(
    sizes: list[Any], shapes: list[Size], is_input: bool, numbers: tuple[int, int]
) -> None:
    """Whatever is nearby: the network's input is, so that all can be written."""
    known = [Known(f"t{index}", (N, 2, size, H)) for index, size in enumerate(shapes)]
    nearby = [*known, X]
    inputs = (nearby[0].name,) if is_input else ()
    call = f"({', '.join(f'{{s{index}}}' for index in range(len(sizes)))},)"
    found = write_sizes(call, sizes, inputs, nearby)
    assert found is not None
    text, more = found
    values = {"n": 5, "d": numbers[0], "h": numbers[1]}
    tensors = {
        tensor.name: SimpleNamespace(shape=[evaluate(size, values) for size in tensor.shape])
        for tensor in nearby
    }
    names = [*inputs, *more]
    places = {f"p{index}": tensors[name] for index, name in enumerate(names)}
    for index in range(len(names)):
        text = text.replace(f"{{{index}}}", f"p{index}")
    assert tuple(computed(text, **places)) == tuple(evaluate(size, values) for size in sizes)
