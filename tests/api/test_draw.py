"""A picture of a network: what is written, and what is refused before anything is."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import volunet
from volunet.errors import ConfigError, OutputError, ShapeError


def texts(file: Path) -> list[str]:
    return ["".join(t.itertext()) for t in ET.parse(file).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314


def test_sizes_are_formulas_without_a_size(tiny_onnx: Path, tmp_path: Path) -> None:
    file = volunet.draw(tiny_onnx, tmp_path / "net.svg")
    assert file == tmp_path / "net.svg"
    words = texts(file)
    assert "tiny.onnx" in words
    assert "1×1×d×h×w" in words
    assert str(tmp_path) not in file.read_text(encoding="utf-8")


def test_sizes_are_numbers_with_one(tiny_onnx: Path, tmp_path: Path) -> None:
    words = texts(volunet.draw(tiny_onnx, tmp_path / "net.svg", size=(8, 12, 16)))
    assert "1×1×8×12×16" in words
    assert not any("⌊" in word for word in words)


def test_the_u_of_the_notes_network(reference_folder: Path, tmp_path: Path) -> None:
    model = reference_folder / "notes_unet3d_small_eval.onnx"
    words = texts(volunet.draw(model, tmp_path / "u.svg", style="unet", size=(32,)))
    assert "5 levels, 4 skips; channels above, size below" in words
    assert {"32×32×32", "16×16×16", "8×8×8", "4×4×4", "2×2×2"} <= set(words)


def test_a_png_is_one(tiny_onnx: Path, tmp_path: Path) -> None:
    file = volunet.draw(tiny_onnx, tmp_path / "net.PNG", style="unet")
    data = file.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert width > height > 400


def test_a_size_that_breaks_is_refused_with_the_reason(
    reference_folder: Path, tmp_path: Path
) -> None:
    model = reference_folder / "notes_unet3d_small_eval.onnx"
    with pytest.raises(ShapeError, match=r"25 and 24 .*\n.*\nSizes that work: each axis a mul"):
        volunet.draw(model, tmp_path / "net.svg", size=(100,))
    assert list(tmp_path.iterdir()) == []


def test_another_ending_is_refused(tiny_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"net\.pdf: a picture called \.pdf"):
        volunet.draw(tiny_onnx, tmp_path / "net.pdf")


def test_another_style_is_refused(tiny_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--style tree: no such style"):
        volunet.draw(tiny_onnx, tmp_path / "net.svg", style="tree")  # type: ignore[arg-type]


def test_nothing_is_overwritten_without_being_asked(tiny_onnx: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.svg"
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"net\.svg: exists already"):
        volunet.draw(tiny_onnx, file)
    assert file.read_text(encoding="utf-8") == "mine"
    volunet.draw(tiny_onnx, file, overwrite=True)
    assert "1×1×d×h×w" in texts(file)
