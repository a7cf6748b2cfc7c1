"""The title above a picture and the legend beneath it: every colour beside its word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from volunet.graph.drawing.palette import slug
from volunet.graph.drawing.svg import Picture
from volunet.graph.drawing.words import clean, text_width, wrap
from volunet.graph.operators import Role

MARGIN: Final = 24.0

_TITLE: Final = 17.0
_NOTE: Final = 12.0
_SWATCH: Final = 14.0


def draw_title(picture: Picture, title: str, notes: Sequence[str], width: float) -> float:
    """Write the title and what is said of the whole, no wider than a width; the y below them."""
    y = MARGIN + _TITLE
    picture.text(MARGIN, y, clean(title, 80), _TITLE, bold=True)
    for note in notes:
        words = [clean(word, 50) for word in note.split()]
        for line in wrap(words, " ", width - 2 * MARGIN, _NOTE):
            y += _NOTE * 1.5
            picture.text(MARGIN, y, line, _NOTE, "soft")
    return y + 18


def draw_roles(
    picture: Picture, y: float, width: float, roles: Sequence[tuple[Role, str]]
) -> float:
    """Draw a swatch and a word for each role, on as many lines as the width takes; the y below."""
    x = MARGIN
    for role, text in roles:
        taken = _SWATCH + 6 + text_width(text, _NOTE) + 18
        if x > MARGIN and x + taken > width - MARGIN:
            x, y = MARGIN, y + 22
        with picture.group([], "legend"):
            picture.box(x, y, _SWATCH, _SWATCH, f"box-{slug(role)}", 3)
            picture.text(x + _SWATCH + 6, y + 11.5, text, _NOTE)
        x += taken
    return y + 22
