"""An SVG as PNG, for where a picture of pixels is needed.

resvg draws it: one wheel, no library of the system. It takes its fonts from the machine; one that
has none would leave every text out without a word, so that is found out first.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as Xml

import resvg_py

from volunet.errors import ConfigError
from volunet.graph.drawing.palette import FONTS
from volunet.graph.drawing.svg import NAMESPACE

MOST_PIXELS: Final = 100_000_000


def svg_to_png(svg: str, scale: float = 2.0) -> bytes:
    """Draw an SVG in its light colours on white.

    Args:
        svg: The SVG's text.
        scale: Pixels for each of the SVG's.

    Raises:
        ConfigError: The machine has no font, or the picture is too large for pixels.
    """
    root = Xml.fromstring(svg)  # noqa: S314 - our own, see draw_svg
    width, height = (round(float(root.get(name, "0")) * scale) for name in ("width", "height"))
    if width * height > MOST_PIXELS:
        raise ConfigError(
            "PNG",
            f"{width}×{height} pixels",
            f"At most {MOST_PIXELS // 10**6} million pixels, {MOST_PIXELS * 4 // 10**6} MB.",
            "Name an .svg instead: it stays sharp at every size.",
        )
    fonts: list[str] = []
    if not _draws_text(fonts):
        fonts = [str(path) for path in _fonts_of_matplotlib()]
        if not _draws_text(fonts):
            raise ConfigError(
                "PNG",
                "this machine has none of the usual fonts",
                "A PNG's text is drawn by the machine that writes it; an SVG's where it is shown.",
                "Name an .svg instead, or install a font (Debian: apt install fonts-dejavu-core).",
            )
    return _draw(svg, scale, fonts)


def _draw(svg: str, scale: float, fonts: Iterable[str]) -> bytes:
    return resvg_py.svg_to_bytes(
        svg_string=svg, zoom=scale, background="white", font_files=list(fonts)
    )


def _draws_text(fonts: Iterable[str]) -> bool:
    """Whether a text leaves a mark."""
    head = f'<svg xmlns="{NAMESPACE}" width="20" height="20" font-family="{FONTS}">'
    blank, text = (f'{head}<text y="15">{letter}</text></svg>' for letter in (" ", "H"))
    return _draw(blank, 1, fonts) != _draw(text, 1, fonts)


def _fonts_of_matplotlib() -> list[Path]:
    """The fonts that matplotlib brings (extra ``train``); it is not imported for them."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return []
    return sorted((Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf").glob("DejaVuSans*.ttf"))
