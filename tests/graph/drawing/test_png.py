from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable

import onnx_ir as ir
import pytest
import resvg_py

from volunet.errors import ConfigError
from volunet.graph.drawing import draw_svg, png, svg_to_png
from volunet.graph.network import infer_sizes

TEXT = '<text x="4" y="24" font-family="DejaVu Sans" font-size="20">Conv</text>'


def picture(content: str, width: int = 60, height: int = 30) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{content}</svg>'


def size_of(content: bytes) -> tuple[int, int]:
    """From a PNG's first chunk: https://www.w3.org/TR/png-3/#11IHDR."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def values_of(content: bytes) -> set[int]:
    """The bytes of its lines, whichever filter they have."""
    at, data = 8, b""
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        if content[at + 4 : at + 8] == b"IDAT":
            data += content[at + 8 : at + 8 + length]
        at += length + 12
    return set(zlib.decompress(data))


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without fonts."""
    without = functools.partial(resvg_py.svg_to_bytes, skip_system_fonts=True)
    monkeypatch.setattr(resvg_py, "svg_to_bytes", without)


@pytest.mark.parametrize(("style", "scale"), [("graph", 2.0), ("unet", 1.0)])
def test_a_png_has_the_picture_s_pixels(
    style: str, scale: float, make_u: Callable[..., ir.Model]
) -> None:
    network = infer_sizes(make_u(2), "u.onnx", (8, 8, 8))
    svg = draw_svg(network, style=style, title="u")  # type: ignore[arg-type]
    width, height = map(int, svg.split('viewBox="0 0 ')[1].split('"')[0].split())
    content = svg_to_png(svg, scale)
    assert size_of(content) == (width * scale, height * scale)
    assert len(values_of(content)) > 50


def test_text_is_drawn_on_white() -> None:
    blank, text = svg_to_png(picture("")), svg_to_png(picture(TEXT))
    assert values_of(blank) <= {0, 1, 2, 3, 4, 255}  # filters, and white or no difference
    assert len(values_of(text)) > 20


def test_without_fonts_those_of_matplotlib_are_taken(no_fonts: None) -> None:
    pytest.importorskip("matplotlib", reason="its fonts are what is tested")
    assert len(values_of(svg_to_png(picture(TEXT)))) > 20


def test_without_any_font_it_is_refused(no_fonts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="none of the usual fonts") as caught:
        svg_to_png(picture(TEXT))
    assert "Name an .svg instead, or install a font" in str(caught.value)


def test_a_picture_too_large_for_pixels_is_refused() -> None:
    with pytest.raises(ConfigError, match="20000×20000 pixels"):
        svg_to_png(picture("", 10_000, 10_000))
