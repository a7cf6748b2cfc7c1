"""Text as it is drawn: without what XML forbids, no longer than its place, and how wide it is.

Names come from files that anybody may have written.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from volunet.graph.sizes import Size, shape_text

_BOLD: Final = 1.1
"""A bold text's width, of a regular one's."""

_WIDTHS: Final = {
    0.33: " ',.IJijl·",
    0.42: "!()-/:;[\\]frt|⌊⌋",
    0.52: '"*_`sz°',
    0.62: "?FLPTYacekovxy",
    0.68: "$0123456789ABCEKRSVXZbdghnpqu{}",
    0.8: "&DGHNOQUw",
    0.86: "#+<=>^~×→−",
    1.0: "%@MWm…",
}
"""Width → signs that are no wider, of the font's size, in DejaVu Sans: the widest of the usual."""

_WIDTH: Final = {sign: width for width, signs in _WIDTHS.items() for sign in signs}


def clean(text: str, longest: int) -> str:
    """A text on one line, its middle left out where it is too long.

    Control characters, surrogates and signs that turn the direction of writing become ``·``: XML
    forbids some, and others would let a name show as what it is not.

    Example:
        >>> clean("a" + chr(0) + "<b>", 10), clean("encoder.layer.weight", 11)
        ('a·<b>', 'encod…eight')
    """
    if len(text) > longest:
        half = (longest - 1) // 2
        text = f"{text[: longest - 1 - half]}…{text[len(text) - half :]}"
    return "".join("·" if _is_hidden(sign) else sign for sign in text)


def _is_hidden(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp")


def text_width(text: str, size: float, bold: bool = False) -> float:
    """How wide a text is at most, in the usual sans-serif fonts."""
    width = sum(_WIDTH.get(sign) or _width_of(sign) for sign in text)
    return width * size * (_BOLD if bold else 1.0)


def _width_of(sign: str) -> float:
    if unicodedata.combining(sign):
        return 0.0
    return 1.05 if unicodedata.east_asian_width(sign) in "WFA" else 0.75


def wrap(parts: list[str], glue: str, width: float, size: float) -> list[str]:
    """Parts on as few lines as they take; a line that is not the last ends with the glue.

    Example:
        >>> wrap(["kernel 3", "stride 2", "padding 1"], ", ", 110, 10)
        ['kernel 3, stride 2,', 'padding 1']
    """
    lines: list[str] = []
    for index, part in enumerate(parts):
        behind = glue.rstrip() if index < len(parts) - 1 else ""
        if lines and text_width(lines[-1] + glue + part + behind, size) <= width:
            lines[-1] += glue + part
        else:
            if lines:
                lines[-1] += glue.rstrip()
            lines.append(part)
    return lines


def shape_lines(shape: tuple[Size, ...] | None, width: float, size: float) -> list[str]:
    """A shape on one line where it fits, else broken between axes; each axis is shortened."""
    if shape is None:
        return ["size unknown"]
    if not shape:
        return ["a number"]
    axes = [clean(shape_text((axis,)) if len(shape) > 1 else str(axis), 44) for axis in shape]
    return wrap(axes, "×", width, size)
