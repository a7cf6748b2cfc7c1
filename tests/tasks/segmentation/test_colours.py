"""Colours that can be told apart."""

from __future__ import annotations

import itertools
import math

import pytest

from volunet.tasks.segmentation.colours import PALETTE, choose_colours


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance of sRGB, as the WCAG contrast ratio takes it."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (part / 255 for part in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_palette_is_distinct():
    assert len(PALETTE) >= 12
    # 50 of 255 is far above what an eye takes for one colour side by side (about 10).
    assert min(math.dist(*pair) for pair in itertools.combinations(PALETTE, 2)) > 50


@pytest.mark.parametrize("colour", PALETTE, ids=str)
def test_visible_on_white_and_black(colour):
    assert 1.05 / (luminance(colour) + 0.05) > 2
    assert (luminance(colour) + 0.05) / 0.05 > 2


def test_background_is_black_and_all_classes_differ():
    colours = choose_colours(256)
    assert len(colours) == len(set(colours)) == 256
    assert colours[0] == (0, 0, 0)
    assert all(0 <= part <= 255 for colour in colours for part in colour)


def test_shades_turn_darker_and_lighter():
    colours = choose_colours(1 + 3 * len(PALETTE))
    base, darker, lighter = colours[1 :: len(PALETTE)]
    assert sum(darker) < sum(base) < sum(lighter)
