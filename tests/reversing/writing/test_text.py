"""Lines are Python that says what the text said, and are as short as they can be."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.reversing.reading.layers import split_arguments
from volunet.reversing.writing.text import (
    WIDTH,
    call_lines,
    docstring,
    fits,
    opening,
    spaced,
    wrapped,
)

LONG = "a" * 60


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["a", "b=1"], ["    f(a, b=1)"]),
        ([], ["    f()"]),
        ([LONG, "b" * 31], [f"    f({LONG}, {'b' * 31})"]),
        ([LONG, f"g({LONG})"],
         ["    f(", f"        {LONG},", f"        g({LONG}),", "    )"]),
        ([f"*(g(x) for x in ({LONG}, {LONG}))"],
         ["    f(", "        *(", "            g(x)", f"            for x in ({LONG}, {LONG})",
          "        )", "    )"]),
        ([f"g({LONG}, padding=(1, 1))", "b" * 40],
         ["    f(", f"        g({LONG}, padding=(1, 1)),", f"        {'b' * 40},", "    )"]),
        ([f"g({LONG}, {LONG[:40]})"],
         ["    f(", "        g(", f"            {LONG},", f"            {LONG[:40]},", "        ),",
          "    )"]),
        ([f"g({LONG}).h({LONG[:40]})"],
         ["    f(", f"        g({LONG}).h(", f"            {LONG[:40]}", "        ),", "    )"]),
        ([f"{LONG}=({LONG},)"], ["    f(", f"        {LONG}=({LONG},),", "    )"]),
    ],
    ids=["short", "none", "just", "lines", "generator", "nested, short", "nested",
         "behind a call", "tuple of one"],
)  # fmt: skip
def test_how_calls_are_broken(arguments: list[str], lines: list[str]) -> None:
    assert call_lines("f(", arguments, ")", 4) == lines


def test_all_arguments_on_the_next_line_where_they_fit() -> None:
    inner = "a" * 45, "b" * 45
    joined = ", ".join(inner)
    assert call_lines("y = f(", inner, ")", 4) == ["    y = f(", f"        {joined}", "    )"]
    apart = [f"        {text}," for text in (inner[0] + "a", inner[1])]
    assert call_lines("y = f(", [inner[0] + "a", inner[1]], ")", 4) == [
        "    y = f(",
        *apart,
        "    )",
    ]


ATOMS = st.one_of(
    st.sampled_from(["x", "in_channels", "out_channels // 2", "3", "(1, 2, 2)", "True", "0.5"]),
    st.integers(1, 30).map(lambda count: "w" * count),
)
ARGUMENTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(
            lambda name, given: f"{name}({', '.join(given)})",
            st.sampled_from(["nn.Conv3d", "nn.Sequential", "self.block"]),
            st.lists(inner, max_size=5),
        ),
        inner.map(lambda text: f"[{text}, {text}]"),
        inner.map(lambda text: f"({text} + {text})"),
        inner.map(lambda text: f"({text},)"),
        st.builds(lambda a, b: f"{a} * ({b} + x)", inner, inner),
        inner.map(lambda text: f"{text} + x"),
    ),
    max_leaves=12,
)
GIVEN = st.lists(
    st.builds(
        lambda name, text: f"{name}={text}" if name else text,
        st.sampled_from(["", "", "padding", "bias"]),
        ARGUMENTS,
    ),
    max_size=6,
).map(lambda found: sorted(found, key=lambda text: text.startswith(("padding=", "bias="))))


def has_one_keyword(arguments: list[str]) -> bool:
    names = [text.split("=")[0] for text in arguments if text.startswith(("padding=", "bias="))]
    return len(names) == len(set(names))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(GIVEN.filter(has_one_keyword), st.integers(0, 3).map(lambda levels: 4 * levels))
def test_broken_lines_say_the_same_and_fit(arguments: list[str], indent: int) -> None:
    whole = f"f({', '.join(arguments)})"
    lines = call_lines("f(", arguments, ")", indent)
    margin = " " * indent
    assert all(line.startswith(margin) and line == line.rstrip() for line in lines)
    parsed = ast.parse("\n".join(line[indent:] for line in lines), mode="eval")
    assert ast.dump(parsed) == ast.dump(ast.parse(whole, mode="eval"))
    if len(whole) + indent <= WIDTH:
        assert lines == [margin + whole]
    for line in lines:  # what is too long is one argument that is no call of several
        text = line.strip().removesuffix(",")
        start = opening(text)
        plain = start < 1 or len(split_arguments(text[start + 1 : -1])) < 2
        assert fits(line) or plain or not re.search(r"\w$", text[:start])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("a", ["a"]),
        ("a, b=(1, 2), [c, d], {e, f}", ["a", "b=(1, 2)", "[c, d]", "{e, f}"]),
        ("f(g(a, b), c), d,", ["f(g(a, b), c)", "d"]),
    ],
)
def test_arguments_are_apart(text: str, parts: list[str]) -> None:
    assert split_arguments(text) == parts


@pytest.mark.parametrize(
    ("text", "place"),
    [("f(a)", 1), ("f(a)(b, (c))", 4), ("f(a) + (b)", 7), ("(a)", 0), ("f(a) + b", -1),
     ("f[a]", 1), ("{a", -1), ("", -1), ("a)", -1)],
)  # fmt: skip
def test_the_bracket_that_a_text_ends_with(text: str, place: int) -> None:
    assert opening(text) == place


def test_a_line_fits_up_to_the_width() -> None:
    assert (fits("a" * 100), fits("a" * 101), WIDTH) == (True, False, 100)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 40).map(lambda count: "w" * count), min_size=1), st.integers(0, 12))
def test_words_on_lines(words: list[str], indent: int) -> None:
    lines = wrapped(" ".join(words), indent)
    assert [word for line in lines for word in line.split()] == words
    assert all(fits(line) and line.startswith(" " * indent) for line in lines)
    for line, after in pairwise(lines):
        assert not fits(f"{line} {after.split()[0]}")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("x → y", ['    """x → y."""']),
        (f"x {LONG} → {LONG}", [f'    """x {LONG}', f"    → {LONG}.", '    """']),
        (f"{LONG} {LONG} → y", [f'    """{LONG}', f"    {LONG}", "    → y.", '    """']),
    ],
    ids=["short", "two lines", "wrapped"],
)
def test_docstrings(text: str, lines: Any) -> None:
    assert docstring(text) == lines


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("x = y[:, a:b]", "x = y[:, a:b]"),
        ("x = y[:, -1:]", "x = y[:, -1:]"),
        ("x = y[:, a + 1:b]", "x = y[:, a + 1 : b]"),
        ("x = y[f(a):]", "x = y[f(a) :]"),
        ("x = y[a + 1:b:2]", "x = y[a + 1:b:2]"),
        ("x = y[a + z[b + 1:][0]:c]", "x = y[a + z[b + 1 :][0] : c]"),
        ("x = y[2 ** n:, : m ** 2]", "x = y[2**n :, : m**2]"),
        ("y = x ** -2", "y = x**-2"),
        ("y = (-x) ** 2", "y = (-x) ** 2"),
        ("y = (a + b) ** 2", "y = (a + b) ** 2"),
        ("y = x.shape ** 2", "y = x.shape ** 2"),
        ("f('é', x ** 2)", "f('é', x ** 2)"),
    ],
)
def test_spaces_of_slices_and_powers(line: str, written: str) -> None:
    assert spaced(line) == written
    assert ast.dump(ast.parse(spaced(line))) == ast.dump(ast.parse(line))
