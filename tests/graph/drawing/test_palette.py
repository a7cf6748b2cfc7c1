from __future__ import annotations

from typing import get_args

import pytest

from volunet.graph.drawing.palette import DARK, LIGHT, Tone, style_sheet
from volunet.graph.operators import Role

PAPER = {"light": "#ffffff", "dark": "#10141a"}
INK = {"light": "#14181d", "dark": "#e8ebef"}


def luminance(colour: str) -> float:
    """Of a colour, as WCAG 2.2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("mode", "tones"), [("light", LIGHT), ("dark", DARK)])
def test_every_role_has_a_colour_that_can_be_read(mode: str, tones: dict[Role, Tone]) -> None:
    assert set(tones) == set(get_args(Role))
    for tone in tones.values():
        assert contrast(tone.strong, tone.area) >= 4.5
        assert contrast(tone.strong, PAPER[mode]) >= 4.5
        assert contrast(INK[mode], tone.area) >= 4.5
    assert len({tone.strong for tone in tones.values()}) == len(tones)


def test_the_style_sheet_has_both_modes() -> None:
    light, dark = style_sheet().split("@media (prefers-color-scheme: dark)")
    assert LIGHT["skip"].area in light
    assert DARK["skip"].area in dark
    assert PAPER["light"] in light
    assert PAPER["dark"] in dark
    assert light.count("{") == light.count("}")
