"""Folded batch norms are opened again: ones that change nothing, behind the convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from volunet.graph.sizes import symbol
from volunet.reversing.reading.layers import Layer, Weight
from volunet.reversing.reading.nodes import Reading
from volunet.reversing.reading.trainable import with_batch_norms

CONV, NORM = "nn.Conv3d({0}, {1}, 3)", "nn.BatchNorm3d(4)"
SHAPE = (symbol("n"), 4, symbol("d"), symbol("h"), symbol("w"))


@pytest.fixture
def reading(layer: Callable[..., Layer]) -> Callable[..., Reading]:
    def make(*texts: tuple[str, str, str], outputs: tuple[str, ...] = ("y",)) -> Reading:
        layers = tuple(layer(text, inputs, name, SHAPE) for text, inputs, name in texts)
        shapes = {"x": SHAPE, **{each.output: each.shape for each in layers}}
        return Reading(layers, ("x",), outputs, shapes, False, ())

    return make


def trace(reading: Reading) -> list[tuple[str, tuple[str, ...], str]]:
    return [
        (layer.form.module or layer.form.call, layer.inputs, layer.output)
        for layer in reading.layers
    ]


def test_norms_stand_behind_convolutions_but_the_last(reading: Callable[..., Reading]) -> None:
    before = reading(
        (CONV.format(1, 4), "x", "a"), ("F.relu({0})", "a", "b"), ("{0} + {1}", "a b", "c"),
        (CONV.format(4, 2), "c", "y"),
    )  # fmt: skip
    after = with_batch_norms(before)
    assert trace(after) == [
        ("nn.Conv3d", ("x",), "a"),
        ("nn.BatchNorm3d", ("a",), "a normalised"),
        ("nn.ReLU", ("a normalised",), "b"),
        ("{0} + {1}", ("a normalised", "b"), "c"),
        ("nn.Conv3d", ("c",), "y"),
    ]
    assert after.outputs == ("y",)
    assert after.shapes["a normalised"] == SHAPE
    norms = [[layer.role for layer in r.layers].count("normalisation") for r in (before, after)]
    assert norms == [0, 1]


def test_a_norm_that_changes_nothing(reading: Callable[..., Reading]) -> None:
    after = with_batch_norms(reading((CONV.format(1, 4), "x", "a"), (CONV.format(4, 2), "a", "y")))
    norm = after.layers[1]
    assert norm.slots == (4, 1e-05)
    assert (norm.role, norm.shape) == ("normalisation", SHAPE)
    assert norm.weights == {
        "weight": Weight(shape=(4,), fill=1.0),
        "bias": Weight(shape=(4,), fill=0.0),
        "running_mean": Weight(shape=(4,), fill=0.0),
        "running_var": Weight(shape=(4,), fill=1.0 - 1e-5),
    }
    variance = np.float32(norm.weights["running_var"].fill)
    assert np.sqrt(variance + np.float32(1e-5)) == 1


def test_convolutions_with_a_norm_keep_it(reading: Callable[..., Reading]) -> None:
    before = reading(
        (CONV.format(1, 4), "x", "a"), (NORM, "a", "b"),
        ("nn.ConvTranspose3d(4, 4, 2)", "b", "c"), (CONV.format(4, 2), "c", "y"),
    )  # fmt: skip
    assert with_batch_norms(before) == before


def test_an_answer_that_is_normalised_goes_by_its_new_name(
    reading: Callable[..., Reading],
) -> None:
    before = reading(
        (CONV.format(1, 4), "x", "a"), (CONV.format(4, 4), "a", "y"), outputs=("a", "y")
    )
    assert with_batch_norms(before).outputs == ("a normalised", "y")


@pytest.mark.parametrize("swapped", [False, True])
def test_which_is_the_last_does_not_depend_on_the_files_order(
    swapped: bool, reading: Callable[..., Reading]
) -> None:
    branches = [(CONV.format(1, 4), "x", "a"), (CONV.format(1, 4), "x", "b")]
    joined = ("{0} - {1}", "a b", "y")
    after = with_batch_norms(reading(*(branches[::-1] if swapped else branches), joined))
    assert after.layers[-1].inputs == ("a normalised", "b")


def test_a_network_without_convolutions_stays_as_it_is(reading: Callable[..., Reading]) -> None:
    before = reading(("F.relu({0})", "x", "y"))
    assert with_batch_norms(before) == before


def test_a_file_that_is_read_gets_norms(
    make_model: Callable[..., ir.Model], read: Callable[..., Reading]
) -> None:
    weights: dict[str, Any] = {
        "w": np.ones((4, 1, 3, 3), np.float32), "v": np.ones((2, 4, 1, 1), np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["y"]),
    ]
    after = with_batch_norms(read(make_model(nodes, {"x": ("n", 1, "h", "w")}, weights)))
    assert [name for name, *_ in trace(after)] == [
        "nn.Conv2d", "nn.BatchNorm2d", "nn.ReLU", "nn.Conv2d",
    ]  # fmt: skip
