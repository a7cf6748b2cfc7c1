"""Colours of the classes in pictures: distinct, and visible on white as on black."""

from __future__ import annotations

from typing import Final

from volunet.plan import Size3

BACKGROUND: Final[Size3] = (0, 0, 0)

PALETTE: Final[tuple[Size3, ...]] = (
    (222, 74, 68),
    (60, 136, 220),
    (62, 160, 84),
    (226, 164, 28),
    (150, 92, 210),
    (30, 172, 176),
    (224, 92, 170),
    (148, 104, 60),
    (142, 172, 40),
    (112, 128, 144),
    (88, 88, 176),
    (236, 142, 120),
)
"""Middle lightness throughout, so that no colour vanishes on a light or a dark page."""

_STEP: Final = 0.85
"""Share of a colour that one more shade keeps; the rest is black or white."""


def choose_colours(num_classes: int) -> tuple[Size3, ...]:
    """A colour (red, green, blue; 0…255) for each class, the background's (black) first.

    Beyond the palette its colours come again, by turns darker and lighter.

    Args:
        num_classes: Number of classes, background included, at most 256.

    Example:
        >>> choose_colours(2)
        ((0, 0, 0), (222, 74, 68))
    """
    size = len(PALETTE)
    return (
        BACKGROUND,
        *(_shade(PALETTE[index % size], index // size) for index in range(num_classes - 1)),
    )


def _shade(colour: Size3, turn: int) -> Size3:
    goal = 0 if turn % 2 else 255
    keep = _STEP ** ((turn + 1) // 2)
    red, green, blue = (round(goal + (value - goal) * keep) for value in colour)
    return red, green, blue
