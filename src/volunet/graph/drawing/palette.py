"""The colours of the roles, light and dark, as one style sheet.

Every colour stands beside a word in the picture; it helps the eye and says nothing alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from volunet.graph.operators import Role


@dataclass(frozen=True)
class Tone:
    """A role's colour: its area, and its outline and text.

    Attributes:
        area: Fill of boxes.
        strong: Outlines, arrows and text; at least 4.5:1 against the paper and the area.
    """

    area: str
    strong: str


LIGHT: Final[dict[Role, Tone]] = {
    "input": Tone("#e9edf2", "#4d5969"),
    "convolution": Tone("#dce9fb", "#1f5bb5"),
    "activation": Tone("#fde4df", "#b23a26"),
    "pooling": Tone("#dbf2e1", "#1b7040"),
    "normalisation": Tone("#ebe3fa", "#6a3fb5"),
    "fully connected": Tone("#fdeecb", "#855300"),
    "skip": Tone("#fcdfec", "#a8246b"),
    "upsampling": Tone("#d4f1f3", "#0a6873"),
    "other": Tone("#efefec", "#5d5d58"),
}

DARK: Final[dict[Role, Tone]] = {
    "input": Tone("#2b323c", "#aab4c2"),
    "convolution": Tone("#15305c", "#86b3ff"),
    "activation": Tone("#4a2019", "#ff9f8d"),
    "pooling": Tone("#123b23", "#74d69a"),
    "normalisation": Tone("#34265a", "#bda4ff"),
    "fully connected": Tone("#42330c", "#f0c05c"),
    "skip": Tone("#4a1832", "#ff96c8"),
    "upsampling": Tone("#0c3a40", "#66d3de"),
    "other": Tone("#2f2f2d", "#b0b0aa"),
}

_INKS: Final = {"paper": ("#ffffff", "#10141a"), "ink": ("#14181d", "#e8ebef")}
_SOFT: Final = ("#4f5863", "#a5afbb")
_FAULT: Final = ("#c00018", "#ff7a85")

FONTS: Final = (
    "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', 'Noto Sans', Roboto, 'Open Sans', Ubuntu, "
    "'Segoe UI', sans-serif"
)
"""What machines have; resvg does not find a font that is not named."""


def slug(role: Role) -> str:
    """The role as a part of a class name."""
    return role.replace(" ", "-")


def style_sheet() -> str:
    """CSS of the classes that pictures use, for light and for dark pages."""
    return f"{_rules(LIGHT, 0)}\n@media (prefers-color-scheme: dark) {{\n{_rules(DARK, 1)}\n}}"


def _rules(tones: dict[Role, Tone], index: int) -> str:
    rules = [
        f".paper {{ fill: {_INKS['paper'][index]} }}",
        f".ink {{ fill: {_INKS['ink'][index]} }}",
        f".soft {{ fill: {_SOFT[index]} }}",
        f".line {{ stroke: {_SOFT[index]}; fill: none }}",
        f".fault {{ fill: {_FAULT[index]} }}",
    ]
    for role, tone in tones.items():
        name = slug(role)
        rules.append(f".box-{name} {{ fill: {tone.area}; stroke: {tone.strong} }}")
        rules.append(f".strong-{name} {{ fill: {tone.strong} }}")
        rules.append(f".line-{name} {{ stroke: {tone.strong}; fill: none }}")
    return "\n".join(rules)
