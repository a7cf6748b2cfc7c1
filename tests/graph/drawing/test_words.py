from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volunet.graph.drawing.words import clean, shape_lines, text_width, wrap
from volunet.graph.sizes import symbol


@given(st.text(alphabet=st.characters(), max_size=60), st.integers(5, 30))
def test_a_cleaned_text_is_short_and_has_no_hidden_signs(text: str, longest: int) -> None:
    cleaned = clean(text, longest)
    assert len(cleaned) == min(len(text), longest)
    assert not {unicodedata.category(sign) for sign in cleaned} & {"Cc", "Cf", "Cs", "Cn"}


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\nb\0c", "a·b·c"),
        ("x" * 10_000, "xxxx…xxxx"),
        ("股骨检测", "股骨检测"),
        ("\u202eevil", "·evil"),
        ("\ud800", "·"),
    ],
    ids=["control", "long", "chinese", "right-to-left override", "surrogate"],
)
def test_names_are_cleaned(text: str, cleaned: str) -> None:
    assert clean(text, 9) == cleaned


def test_widths_are_those_of_a_wide_font() -> None:
    assert text_width("1×32×64", 10) == pytest.approx(10 * (5 * 0.68 + 2 * 0.86))
    assert text_width("ii", 10, bold=True) == pytest.approx(10 * 2 * 0.33 * 1.1)
    assert text_width("检测", 10) == pytest.approx(21)
    assert text_width("", 10) == 0


def test_lines_break_between_parts_and_keep_the_glue() -> None:
    assert wrap(["ab"] * 5, "×", text_width("ab×ab×ab", 10), 10) == ["ab×ab×", "ab×ab×ab"]
    assert wrap([], ", ", 100, 10) == []


def test_shapes_are_broken_between_axes() -> None:
    d = symbol("depth")
    assert shape_lines((1, 4, d, 12), 200, 11) == ["1×4×depth×12"]
    assert shape_lines((1, 4, d, 12), 50, 11) == ["1×4×", "depth×", "12"]
    assert shape_lines(None, 100, 11) == ["size unknown"]
    assert shape_lines((), 100, 11) == ["a number"]
    assert shape_lines((d + 1, 2), 200, 11) == ["(depth + 1)×2"]
