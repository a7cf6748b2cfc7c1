from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from volunet.errors import ConfigError
from volunet.graph.drawing.u_shape import UShape, find_u
from volunet.graph.network import Network, infer_sizes


def outline(u: UShape) -> tuple[list[tuple[str, int, int]], list[tuple[int, int]]]:
    """Kind, level and channels of every block; and the skips by their blocks' numbers."""
    number = {id(block): index for index, block in enumerate(u.blocks)}
    return (
        [(block.kind, block.level, block.channels) for block in u.blocks],
        [(number[id(skip.source)], number[id(skip.target)]) for skip in u.skips],
    )


def test_the_notes_network_has_five_levels_and_four_skips(notes_network: Network) -> None:
    u = find_u(notes_network)
    blocks, skips = outline(u)

    assert u.rows == pytest.approx([1, 1 / 2, 1 / 4, 1 / 8, 1 / 16])
    assert skips == [(11, 15), (8, 18), (5, 21), (2, 24)]
    assert [b for b in blocks if b[0] == "down"] == [
        ("down", 1, 4), ("down", 2, 8), ("down", 3, 16), ("down", 4, 32),
    ]  # fmt: skip
    assert [b for b in blocks if b[0] == "up"] == [
        ("up", 3, 64), ("up", 2, 32), ("up", 1, 16), ("up", 0, 8),
    ]  # fmt: skip
    convolutions = [b[2] for b in blocks if b[0] == "convolution"]
    assert convolutions == [4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 32, 32, 16, 16, 8, 8, 4, 4, 3]
    sizes = [notes_network.tensors[block.tensor].shape[2:] for block in u.blocks[2:15:3]]  # type: ignore[index]
    assert sizes == [(32, 48, 16), (16, 24, 8), (8, 12, 4), (4, 6, 2), (2, 3, 1)]
    assert u.blocks[15].parts == [(32, True), (32, False)]
    assert not u.shortcuts


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strides": {"down": "stride"},
    "linear": {"up": "resize"},
    "crop": {"align": "crop"},
    "pad": {"align": "pad"},
    "added": {"join": "Add"},
    "residual": {"residual": True},
    "strides, residual, linear, added": {
        "down": "stride", "residual": True, "up": "resize", "join": "Add",
    },
}  # fmt: skip


@pytest.mark.parametrize("keys", KINDS.values(), ids=KINDS)
def test_the_u_is_found(keys: dict[str, Any], make_u: Callable[..., ir.Model]) -> None:
    size = (13, 19, 22) if keys.get("align") else (12, 20, 24)
    u = find_u(infer_sizes(make_u(3, **keys), "u.onnx", size))

    assert u.rows == pytest.approx([1, 0.5, 0.25])
    levels = [(skip.source.level, skip.target.level) for skip in u.skips]
    assert levels == [(1, 1), (0, 0)]
    assert all(not skip.source.is_up and skip.target.is_up for skip in u.skips)
    assert {skip.is_added for skip in u.skips} == {keys.get("join") == "Add"}
    marks = {"crop": {"cropped"}}.get(keys.get("align", ""), set())
    assert [set(skip.marks) for skip in u.skips] == [marks, marks]
    assert len(u.shortcuts) == (5 if keys.get("residual") else 0)
    assert {block.level for block in u.blocks} == {0, 1, 2}
    assert [tensor.name for _, tensor in u.outputs] == ["y"]


def test_convolutions_without_padding_make_no_levels(make_u: Callable[..., ir.Model]) -> None:
    """As in Ronneberger et al., figure 1: the way up is much smaller than the way down."""
    network = infer_sizes(make_u(3, pad=0, align="crop"), "u.onnx", (44, 44, 44))
    u = find_u(network)
    assert u.rows == pytest.approx([1, 0.5, 0.25])
    assert [(s.source.level, s.target.level) for s in u.skips] == [(1, 1), (0, 0)]
    assert [set(s.marks) for s in u.skips] == [{"cropped"}, {"cropped"}]
    assert network.outputs[0].shape == (1, 2, 4, 4, 4)


def test_a_gate_is_not_drawn_but_marks_its_skip(make_model: Callable[..., ir.Model]) -> None:
    """Attention: a convolution of the skip and one of what comes up decide what of it passes."""

    def conv(x: str, weight: str, y: str) -> Any:
        return helper.make_node("Conv", [x, weight], [y], name=y)

    nodes = [
        conv("x", "w1", "skip"),
        helper.make_node("MaxPool", ["skip"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        conv("p", "w2", "deep"),
        helper.make_node("ConvTranspose", ["deep", "t"], ["up"], strides=[2, 2]),
        conv("skip", "w2", "a"),
        conv("up", "w2", "b"),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        conv("sum", "w3", "one"),
        helper.make_node("Sigmoid", ["one"], ["gate"]),
        helper.make_node("Mul", ["skip", "gate"], ["gated"]),
        helper.make_node("Concat", ["gated", "up"], ["y"], axis=1),
    ]
    shapes = {"w1": (4, 1, 1, 1), "w2": (4, 4, 1, 1), "w3": (1, 4, 1, 1), "t": (4, 4, 2, 2)}
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    u = find_u(infer_sizes(make_model(nodes, (1, 1, 8, 8), weights), "gate.onnx"))

    assert [block.origin for block in u.blocks] == ["x", "skip", "p", "deep", "up"]
    (skip,) = u.skips
    assert (skip.source.origin, skip.target.origin) == ("skip", "up")
    assert skip.marks == {"gated"}
    assert skip.target.parts == [(4, True), (4, False)]


def test_a_branch_that_comes_up_from_another_level_is_drawn(
    make_model: Callable[..., ir.Model],
) -> None:
    """Deep supervision: an answer of the lower level, enlarged and added to that of the upper."""
    twice = {"strides": [2, 2]}
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], **twice),
        helper.make_node("Conv", ["p", "w"], ["deep"]),
        helper.make_node("ConvTranspose", ["deep", "t"], ["up"], **twice),
        helper.make_node("Add", ["x", "up"], ["joined"]),
        helper.make_node("Conv", ["joined", "w"], ["refined"]),
        helper.make_node("Conv", ["refined", "w"], ["upper"]),
        helper.make_node("Conv", ["deep", "w"], ["lower"]),
        helper.make_node("ConvTranspose", ["lower", "t"], ["enlarged"], **twice),
        helper.make_node("Add", ["upper", "enlarged"], ["y"]),
    ]
    weights = {
        "w": np.zeros((1, 1, 1, 1), np.float32),
        "t": np.zeros((1, 1, 2, 2), np.float32),
    }
    u = find_u(infer_sizes(make_model(nodes, (1, 1, 8, 8), weights), "deep.onnx"))

    drawn = [(block.origin, block.level) for block in u.blocks]
    assert drawn == [
        ("x", 0), ("p", 1), ("deep", 1), ("up", 0), ("refined", 0), ("upper", 0), ("lower", 1),
        ("enlarged", 0),
    ]  # fmt: skip
    assert [(s.source.origin, s.target.origin) for s in u.skips] == [("x", "up")]
    assert [(s.source.origin, s.target.origin) for s in u.shortcuts] == [("enlarged", "upper")]


def test_a_classifier_is_refused(classifier: Network) -> None:
    with pytest.raises(ConfigError) as caught:
        find_u(classifier)
    assert str(caught.value) == (
        "classes.onnx: no U: it goes down 3 times and up 0 times, with 0 skips between the two "
        "ways.\n"
        "A U goes down by pooling or strides, up again, and joins the two ways by skips.\n"
        "Draw it with --style graph."
    )


def test_without_skips_it_is_no_u(make_model: Callable[..., ir.Model]) -> None:
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("ConvTranspose", ["p", "t"], ["y"], strides=[2, 2]),
    ]
    model = make_model(nodes, (1, 1, 8, 8), {"t": np.zeros((1, 1, 2, 2), np.float32)})
    with pytest.raises(ConfigError, match="down 1 time and up 1 time, with 0 skips between"):
        find_u(infer_sizes(model, "auto.onnx"))


def test_a_size_that_does_not_work_is_refused(make_u: Callable[..., ir.Model]) -> None:
    network = infer_sizes(make_u(2), "u.onnx", (9, 8, 8))
    with pytest.raises(ConfigError, match=r"does not work at this size: Concat .* 9 and 8"):
        find_u(network)


def test_an_operator_without_a_rule_is_named(make_model: Callable[..., ir.Model]) -> None:
    nodes = [helper.make_node("My\nstery" + "y" * 900, ["x"], ["y"], domain="com.example")]
    network = infer_sizes(make_model(nodes, (1, 1, 8, 8)), "mystery.onnx")
    with pytest.raises(ConfigError, match=r"operators without a rule: com\.example\.My·stery…y+\."):
        find_u(network)


def side_by_side(make_model: Callable[..., ir.Model], join: str, *channels: int) -> Network:
    """U-Nets of so many channels on one input, whose answers are joined one after the other."""
    twice = {"strides": [2, 2]}
    nodes, weights, total = [], {}, ""
    for number, count in enumerate(channels):
        skip, p, deep, up, joined, answer = (
            f"{part}{number}" for part in ("skip", "p", "deep", "up", "j", "a")
        )
        nodes += [
            helper.make_node("Conv", ["x", f"w{number}"], [skip]),
            helper.make_node("MaxPool", [skip], [p], kernel_shape=[2, 2], **twice),
            helper.make_node("Conv", [p, f"v{number}"], [deep]),
            helper.make_node("ConvTranspose", [deep, f"t{number}"], [up], **twice),
            helper.make_node("Concat", [skip, up], [joined], axis=1),
            helper.make_node("Conv", [joined, f"u{number}"], [answer]),
        ]
        shapes = {"w": (count, 1, 1, 1), "v": (count, count, 1, 1), "t": (count, count, 2, 2)}
        shapes["u"] = (2, 2 * count, 1, 1)
        weights |= {f"{k}{number}": np.zeros(v, np.float32) for k, v in shapes.items()}
        if total:
            nodes.append(helper.make_node(join, [total, answer], [f"total{number}"]))
        total = f"total{number}" if total else answer
    nodes.append(helper.make_node("Identity", [total], ["y"]))
    return infer_sizes(make_model(nodes, (1, 1, 8, 8), weights), "many.onnx")


@pytest.mark.parametrize("join", ["Add", "Max"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_networks_alike_one_is_drawn(
    make_model: Callable[..., ir.Model], join: str, count: int
) -> None:
    u = find_u(side_by_side(make_model, join, *(4,) * count))
    assert u.alike == count
    assert [block.channels for block in u.blocks] == [1, 4, 4, 4, 8, 2]
    assert [block.level for block in u.blocks] == [0, 0, 1, 1, 0, 0]
    assert len(u.skips) == 1
    assert u.shortcuts == []
    ((read, _),) = u.outputs
    assert read is u.blocks[-1]


def test_networks_that_differ_are_all_drawn(make_model: Callable[..., ir.Model]) -> None:
    u = find_u(side_by_side(make_model, "Add", 4, 8))
    assert u.alike == 1
    assert sorted(block.channels for block in u.blocks) == [1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 16]
