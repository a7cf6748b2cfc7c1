from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations
from typing import Any
from xml.etree import ElementTree as Xml

import onnx_ir as ir
import pytest

from volunet.errors import ConfigError
from volunet.graph.drawing import draw_svg
from volunet.graph.drawing.u_shape import find_u
from volunet.graph.drawing.unet_layout import plan_u
from volunet.graph.network import Network, infer_sizes

Read = Callable[[str], Xml.Element]
Texts = Callable[[Xml.Element, str], list[list[str]]]


def all_texts(root: Xml.Element) -> list[str]:
    return [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_picture_of_the_notes_network(
    notes_network: Network, read_svg: Read, texts_of: Texts
) -> None:
    root = read_svg(draw_svg(notes_network, style="unet", title="notes"))

    assert [block[0] for block in texts_of(root, "block")] == [
        "1", "4", "4", "4", "8", "8", "8", "16", "16", "16", "32", "32", "32", "64", "64",
        "32 + 32", "32", "32", "16 + 16", "16", "16", "8 + 8", "8", "8", "4 + 4", "4", "4", "3",
    ]  # fmt: skip
    texts = all_texts(root)
    assert texts[:2] == ["notes", "5 levels, 4 skips; channels above, size below"]
    sizes = ["32×48×16", "16×24×8", "8×12×4", "4×6×2"]
    assert [texts.count(size) for size in sizes] == [2, 2, 2, 2]
    assert texts.count("2×3×1") == 1
    assert {"1×1×32×48×16", "1×3×32×48×16"} <= set(texts)
    assert [entry[0] for entry in texts_of(root, "legend")] == [
        "convolution 3×3×3, ReLU (18)",
        "convolution 1×1×1, ReLU; its kernel stands at the arrow",
        "max pooling 2×2×2, stride 2 (4)",
        "transposed convolution 2×2×2, stride 2 (4)",
        "skip: concatenated (4)",
    ]
    assert texts.count("1×1×1") == 1


@pytest.mark.parametrize(
    ("keys", "legend"),
    [
        ({"align": "crop"}, "skip: cropped and concatenated (2)"),
        ({"join": "Add"}, "skip: added (2)"),
        ({"residual": True}, "shortcut: added (5)"),
        ({"down": "stride"}, "convolution 3×3×3, stride 2 (2)"),
        ({"up": "resize"}, "upsampling, linear (2)"),
    ],
    ids=["crop", "added", "residual", "strides", "linear"],
)
def test_the_legend_tells_the_arrows(
    keys: dict[str, Any],
    legend: str,
    make_u: Callable[..., ir.Model],
    read_svg: Read,
    texts_of: Texts,
) -> None:
    size = (13, 19, 22) if keys.get("align") else (12, 20, 24)
    network = infer_sizes(make_u(3, **keys), "u.onnx", size)
    root = read_svg(draw_svg(network, style="unet", title="u"))
    assert [legend] in texts_of(root, "legend")


def test_formulas_are_written_instead_of_numbers(
    make_u: Callable[..., ir.Model], read_svg: Read
) -> None:
    model = make_u(2)
    network, labels = infer_sizes(model, "u.onnx", (8, 8, 8)), infer_sizes(model, "u.onnx")
    texts = all_texts(read_svg(draw_svg(network, style="unet", title="u", labels=labels)))
    assert {"1×1×d×h×w", "⌊d/2⌋×⌊h/2⌋×⌊w/2⌋"} <= set(texts)
    assert not any("8×8×8" in text for text in texts)


@pytest.mark.parametrize("pad", [0, 1])
@pytest.mark.parametrize("up", ["transpose", "resize"])
def test_blocks_and_sizes_do_not_overlap(
    pad: int, up: str, make_u: Callable[..., ir.Model]
) -> None:
    network = infer_sizes(make_u(4, pad=pad, up=up, align="crop"), "u.onnx", (92, 100, 108))
    u = find_u(network)
    layout = plan_u(u, {name: t.shape for name, t in network.tensors.items()}, 100, 50)

    spots = [layout.of(block) for block in u.blocks]
    for one, other in combinations(spots, 2):
        assert (
            one.right < other.x
            or other.right < one.x
            or one.y + one.height + 30 < other.y
            or other.y + other.height + 30 < one.y
        )
    for one, other in combinations(layout.runs, 2):
        if one.spots[0].block.level == other.spots[0].block.level:
            assert one.right + 5 < other.x or other.right + 5 < one.x
    for block in u.blocks:
        if block.kind in ("down", "up") and block.source is not None:
            assert layout.of(block).main == pytest.approx(layout.of(block.source).main, abs=7)


def test_levels_are_smaller_the_deeper_they_are(notes_network: Network) -> None:
    u = find_u(notes_network)
    layout = plan_u(u, {}, 0, 0)
    by_level = {block.level: layout.of(block) for block in u.blocks}
    heights = [by_level[level].height for level in range(5)]
    assert heights == pytest.approx([130, 77, 50.5, 37.25, 30.625])
    assert [by_level[level].y for level in range(5)] == sorted(s.y for s in by_level.values())


def test_a_classifier_is_refused(classifier: Network) -> None:
    with pytest.raises(ConfigError, match="--style graph"):
        draw_svg(classifier, style="unet", title="classes")
    assert re.search("fully connected", draw_svg(classifier, style="graph", title="classes"))
