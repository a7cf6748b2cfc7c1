from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from xml.etree import ElementTree as Xml

import onnx_ir as ir
import pytest
from onnx import helper

from volunet.graph.drawing import draw_svg
from volunet.graph.drawing.graph_style import Card
from volunet.graph.network import Network, infer_sizes
from volunet.graph.sizes import shape_text

Read = Callable[[str], Xml.Element]
Texts = Callable[[Xml.Element, str], list[list[str]]]


def test_every_node_of_the_notes_network_is_drawn_once_with_its_shape(
    notes_network: Network, read_svg: Read, texts_of: Texts
) -> None:
    root = read_svg(draw_svg(notes_network, style="graph", title="notes"))
    cards = texts_of(root, "node")

    expected = [(n.op_type, shape_text(n.outputs[0].shape or ())) for n in notes_network.data_nodes]
    expected += [("input", "1×1×32×48×16"), ("output", "1×3×32×48×16")]
    assert Counter((card[0], card[-1]) for card in cards) == Counter(expected)
    assert len(cards) == 52
    up = next(card for card in cards if card[0] == "ConvTranspose")
    assert up[1] == "convolution"
    assert " ".join(up[2:-1]) == (
        "kernel 2×2×2, stride 2, dilation 2, padding 1, output padding 1, 64 → 32 channels"
    )
    tooltips = {title.text or "" for title in root.iter("{http://www.w3.org/2000/svg}title")}
    assert all(any(n.name in text for text in tooltips) for n in notes_network.data_nodes)


def test_roles_are_told_in_words(make_u: Callable[..., ir.Model], read_svg: Read, texts_of: Texts):
    network = infer_sizes(make_u(2, up="resize"), "u.onnx", (8, 8, 8))
    root = read_svg(draw_svg(network, style="graph", title="u"))
    roles = {card[0]: card[1] for card in texts_of(root, "node")}
    assert roles == {
        "input": "x", "Conv": "convolution", "Relu": "activation", "MaxPool": "pooling",
        "Resize": "upsampling", "Concat": "skip", "Identity": "other", "output": "y",
    }  # fmt: skip
    assert [entry[0] for entry in texts_of(root, "legend")] == [
        "input, output", "convolution", "activation", "pooling", "skip", "upsampling", "other",
    ]  # fmt: skip


def test_nodes_that_only_compute_sizes_are_counted_and_not_drawn(
    make_u: Callable[..., ir.Model], read_svg: Read, texts_of: Texts
) -> None:
    network = infer_sizes(make_u(3, align="pad"), "u.onnx", (9, 10, 11))
    hidden = len(network.nodes) - len(network.data_nodes)
    root = read_svg(draw_svg(network, style="graph", title="u"))
    written = " ".join(element.text or "" for element in root.iter())
    assert hidden == 12  # for each of two skips: two shapes, each sliced; a difference; the pads
    assert "12 more operators compute only sizes or constants: not drawn" in written
    drawn = {card[0] for card in texts_of(root, "node")}
    assert not drawn & {"Shape", "Sub", "Slice"}


def test_formulas_are_written_instead_of_numbers(
    make_u: Callable[..., ir.Model], read_svg: Read, texts_of: Texts
) -> None:
    model = make_u(2)
    network, labels = infer_sizes(model, "u.onnx", (8, 8, 8)), infer_sizes(model, "u.onnx")
    root = read_svg(draw_svg(network, style="graph", title="u", labels=labels))
    cards = texts_of(root, "node")
    assert next(card for card in cards if card[0] == "MaxPool")[-1] == "1×4×⌊d/2⌋×⌊h/2⌋×⌊w/2⌋"
    assert not any("8×8×8" in text for card in cards for text in card)
    assert (root.get("font-family") or "").startswith("'DejaVu Sans'")


def test_what_does_not_fit_is_marked(
    make_u: Callable[..., ir.Model], read_svg: Read, texts_of: Texts
):
    network = infer_sizes(make_u(2), "u.onnx", (9, 8, 8))
    cards = texts_of(read_svg(draw_svg(network, style="graph", title="u")), "node")
    (join,) = [card for card in cards if card[0] == "Concat"]
    assert join[2:] == ["axis 1", "does not fit at this size", "size unknown"]
    assert cards[-2][:2] == ["Identity", "other"]
    assert sum("does not fit at this size" in card for card in cards) == 1


def test_an_operator_without_a_rule_is_drawn(
    make_model: Callable[..., ir.Model], read_svg: Read, texts_of: Texts
) -> None:
    nodes = [
        helper.make_node("Mystery", ["x"], ["m"], domain="com.example", name="mystery"),
        helper.make_node("Relu", ["m"], ["y"], name="relu"),
    ]
    network = infer_sizes(make_model(nodes, (1, 2, 4, 4)), "mystery.onnx")
    cards = texts_of(read_svg(draw_svg(network, style="graph", title="m")), "node")
    assert [card[0] for card in cards] == ["input", "com.example.Mystery", "Relu", "output"]
    assert "an operator that volunet has no rule for" in cards[1]


HOSTILE = {
    "markup": '"><script>alert(1)</script><image href="http://example.com"/>',
    "quotes": "a'b\"c&amp;d]]>",
    "newlines and NUL": "a\nb\r\0c\x1b[31m",
    "long": "n" * 10_000,
    "unicode": "股骨/🦴/\u202eabc",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("style", ["graph", "unet"])
def test_hostile_names_are_only_text(
    name: str, style: str, make_u: Callable[..., ir.Model], read_svg: Read
) -> None:
    model = make_u(2)
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.name = name + (value.name or "")
    for node in model.graph:
        node.name = name
        if node.op_type == "Identity" and style == "graph":  # a U needs every rule
            node.op_type = name
    network = infer_sizes(model, "u.onnx", (8, 8, 8))
    svg = draw_svg(network, style=style, title=name, labels=None)  # type: ignore[arg-type]
    svg = svg.replace("http://example.com", "")  # as text, where it may stand
    root = read_svg(svg)
    longest = max(len(element.text or "") for element in root.iter() if "style" not in element.tag)
    assert longest < 15_000 if name == HOSTILE["long"] else longest < 3_000
    assert "<script" not in svg
    assert not any(sign in svg for sign in "\0\x1b\r\u202e")


def test_a_card_is_as_wide_as_its_longest_line() -> None:
    narrow = Card("other", "Relu", [], ["1"], [])
    wide = Card("convolution", "Conv", ["m" * 40], ["1", "2"], [])
    assert narrow.size == (190.0, 47.0)
    assert wide.size == (40 * 11.0 + 28, 77.0)
