"""What is no picture of a network is refused, each with a message of its own."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from volunet.errors import ConfigError, ReverseError
from volunet.graph.netron import read_netron

SVG = '<svg xmlns="http://www.w3.org/2000/svg">{}</svg>'

BOMB = """<?xml version="1.0"?>
<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<svg xmlns="http://www.w3.org/2000/svg"><text>&b;</text></svg>"""

OUTSIDE = """<!DOCTYPE svg [<!ENTITY file SYSTEM "file:///etc/hostname">]>
<svg xmlns="http://www.w3.org/2000/svg"><text>&file;</text></svg>"""

CHART = SVG.format(
    '<g transform="translate(40,10)" fill="none" font-size="10" text-anchor="middle">'
    '<path class="domain" stroke="#000" d="M0.5,6V0.5H200.5V6"/>'
    '<g class="tick" transform="translate(20,0)"><line stroke="#000" y2="6"/>'
    '<text fill="#000" y="9" dy="0.71em">A</text></g>'
    '<rect x="10" y="20" width="30" height="90" fill="steelblue"/>'
    '<rect x="50" y="60" width="30" height="50" fill="steelblue"/></g>'
)


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "picture.svg"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("PK\x03\x04 no xml", "not XML"),
        (b"\x1f\x8b\x08\x00rest", "compressed file"),
        ("<html><body/></html>", "outermost element is <html>"),
        (SVG.format(""), "not a graph that Netron drew: no box with the name of an ONNX operator"),
        (CHART, "not a graph that Netron drew"),
        (SVG.format('<image href="data:image/png;base64,AAAA"/>'), "a bitmap within a SVG file"),
        (BOMB, "a document type with declarations"),
        (OUTSIDE, "a document type with declarations"),
        (SVG.format("<text>&nbsp;</text>"), "undefined entity"),
        ('<!DOCTYPE svg SYSTEM "x.dtd">' + SVG.format("<text>&x;</text>"), "the entity &x;"),
        ("<svg>" + "<g>" * 300 + "</g>" * 300 + "</svg>", "more than 200 within each other"),
    ],
    ids=["empty", "binary", "svgz", "html", "blank", "chart", "bitmap", "bomb", "file", "undefined",
         "external", "deep"],
)  # fmt: skip
def test_no_picture_of_netrons(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ReverseError, match=re.escape(message)):
        read_netron(written(tmp_path, text))


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_netron(tmp_path / "none.svg")
    with pytest.raises(ConfigError, match="a folder"):
        read_netron(tmp_path)


def test_a_file_of_500_mb_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.svg"
    with file.open("wb") as stream:
        stream.truncate(500 * 2**20)
    with pytest.raises(ReverseError, match="500 MB"):
        read_netron(file)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_cut_off(share: float, pictures: Path, tmp_path: Path) -> None:
    text = (pictures / "notes_9.svg").read_bytes()
    with pytest.raises(ReverseError, match=r"cut off or damaged in line 1, column \d+"):
        read_netron(written(tmp_path, text[: int(len(text) * share)]))


def test_an_edge_that_ends_nowhere(edited: Callable[..., Path]) -> None:
    """The last point of an edge is moved away from its node."""
    text = edited("notes_9", "edge-path", "edge-path").read_text()
    data = re.findall(r'<path id="edge-/[^"]*" class="edge-path" d="([^"]*)"', text)[2]
    moved = re.sub(r"L([-\d.]+),([-\d.]+)$", lambda m: f"L{float(m[1]) + 90},{m[2]}", data)
    file = edited("notes_9", data, moved)
    with pytest.raises(ReverseError, match=r"an edge leaves 'Conv' and ends nowhere, at \(\d+"):
        read_netron(file)


def test_a_cycle(edited: Callable[..., Path]) -> None:
    """An edge drawn once more, backwards."""
    text = edited("notes_9", "edge-path", "edge-path").read_text()
    path = re.findall(r'<path id="edge-/[^"]*" class="edge-path" d="[^"]*"[^>]*>', text)[2]
    points = re.findall(r"([-\d.]+),([-\d.]+)", path.partition(' d="')[2])
    back = f'<path d="M{",".join(points[-1])}L{",".join(points[0])}"/>'
    file = edited("notes_9", path, back + path, 1)
    with pytest.raises(
        ReverseError, match=r"edges form a cycle: (Relu → Conv → Relu|Conv → Relu → Conv)"
    ):
        read_netron(file)


def test_hidden_weights(pictures: Path) -> None:
    with pytest.raises(
        ReverseError, match=r"shows no input W: neither an edge nor a constant(?s:.*)Show Weights"
    ):
        read_netron(pictures / "notes_9_no_weights.svg")


def test_sizes_that_cannot_agree(edited: Callable[..., Path]) -> None:
    """Poolings by 4 under upsamplings by 2: the skip and what it is joined with differ."""
    file = edited("notes_9_attributes", "strides</tspan><tspan> = 2, 2, 2", "strides</tspan><tspan> = 4, 4, 4", 1)  # fmt: skip # noqa: E501
    with pytest.raises(ReverseError, match="sizes cannot agree: Concat"):
        read_netron(file)


def test_shapes_that_contradict_the_weights(edited: Callable[..., Path]) -> None:
    file = edited("residual_9_shapes", "1×4×8×12×16", "1×4×9×12×16")
    with pytest.raises(ReverseError, match=r"on axis 2|in the picture"):
        read_netron(file)


def test_an_attribute_that_is_no_number(edited: Callable[..., Path]) -> None:
    file = edited("notes_9_attributes", "dilations</tspan><tspan> = 1, 1, 1", "dilations</tspan><tspan> = 1, x, 1", 1)  # fmt: skip # noqa: E501
    with pytest.raises(ReverseError, match="attribute dilations is '1, x, 1'"):
        read_netron(file)


def test_every_cut_of_a_picture_is_refused_or_read(pictures: Path, tmp_path: Path) -> None:
    """Pieces taken out anywhere give a message, never another error."""
    text = (pictures / "classifier_9_attributes.svg").read_text()
    elements = [
        m.span()
        for m in re.finditer(r"<(?:text|path|rect|line)\b[^>]*?(?:/>|>.*?</(?:text)>)", text)
    ]
    for start, end in elements[::7]:
        file = written(tmp_path, text[:start] + text[end:])
        with contextlib.suppress(ReverseError):
            read_netron(file)
