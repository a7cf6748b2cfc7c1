"""Names say what a block does; the file's own names never reach the source."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.reversing.reading.layers import Layer, is_convolution
from volunet.reversing.structure.grammar import Form, Step, block_of, repeat_of, step_of
from volunet.reversing.writing.naming import (
    attribute_name,
    chain_name,
    class_name,
    is_upsampling,
    numbered,
    plural,
    snake,
)

CONV, NORM, RELU = "nn.Conv3d(4, 4, 3)", "nn.BatchNorm3d(4)", "F.relu({0})"
UP, POOL = "nn.ConvTranspose3d(4, 4, 2, stride=2)", "nn.MaxPool3d(2)"
MEAN = "torch.mean({0}, dim=(2, 3, 4), keepdim=True)"

Item = "str | tuple[str, str]"


@pytest.fixture
def block(layer: Callable[..., Layer]) -> Callable[..., Step]:
    """A block of calls; a pair says what else than the step before is read, ``b`` from outside."""

    def make(items: Sequence[Any]) -> Step:
        steps = []
        for index, item in enumerate(items):
            text, reads = (item, "") if isinstance(item, str) else item
            steps.append(step_of(layer(text, reads or f"t{index - 1}", f"t{index}")))
        return block_of(steps)

    return make


@pytest.mark.parametrize(
    ("items", "name"),
    [
        ([CONV, NORM, RELU], "ConvBlock"),
        ([CONV, RELU, CONV], "ConvBlocks"),
        ([POOL, CONV], "Down"),
        (["nn.Conv3d(4, 8, 3, stride=2)", RELU], "Down"),
        ([UP, RELU], "Up"),
        (['F.interpolate({0}, scale_factor=2, mode="nearest")', CONV], "Up"),
        ([UP, ("torch.cat([{0}, {1}], dim=1)", "b t0"), CONV], "Up"),
        ([CONV, ("{0} + {1}", "t0 b"), RELU], "ResidualBlock"),
        ([CONV, ("{0} + {1}", "t0 b"), CONV, ("{0} + {1}", "t2 b")], "ResidualStage"),
        ([CONV, RELU, ("torch.cat([{0}, {1}], dim=1)", "t-1 t1")], "DenseLayer"),
        ([CONV, (CONV, "t-1"), ("torch.cat([{0}, {1}], dim=1)", "t0 t1")], "Branches"),
        (
            [(CONV, "a"), (CONV, "b"), ("{0} + {1}", "t0 t1"), RELU, ("{0} * {1}", "a t3")],
            "AttentionGate",
        ),
        ([RELU, MEAN, CONV, ("{0} * {1}", "t0 t2")], "SqueezeExcitation"),
        (["nn.AdaptiveAvgPool3d(1)", CONV, RELU], "Gate"),
        (["nn.Linear(4, 5)", RELU], "LinearBlock"),
        ([CONV, POOL], "Stage"),
        ([CONV, UP], "ConvBlock"),
        ([RELU, CONV, ("{0} * {1}", "t0 t1")], "ConvBlock"),
        ([RELU, "{0} * 2"], "Block"),
    ],
)
def test_what_a_block_is_called(items: Any, name: str, block: Callable[..., Step]) -> None:
    assert class_name(block(items)) == name


@pytest.mark.parametrize(
    ("items", "times", "name"),
    [([CONV, RELU], 2, "DoubleConv"), ([CONV, RELU], 3, "TripleConv"), ([CONV], 4, "ConvStack"),
     ([CONV, RELU, CONV], 2, "Stage"), ([RELU, POOL], 2, "Stage")],
)  # fmt: skip
def test_what_a_repetition_is_called(
    items: Any, times: int, name: str, block: Callable[..., Step]
) -> None:
    assert class_name(repeat_of([block(items)] * times)) == name


def test_what_a_layer_is_called(layer: Callable[..., Layer]) -> None:
    assert class_name(step_of(layer(CONV, "x", "y"))) == "nn.Conv3d"


@pytest.mark.parametrize(
    ("text", "convolution", "upsampling"),
    [(CONV, True, False), (UP, False, True), ("nn.Conv1d(1, 1, 1)", True, False),
     ("F.interpolate({0}, size={0}.shape[2:], mode=\"area\")", False, True),
     ("nn.Upsample(scale_factor=2)", False, True), (POOL, False, False)],
)  # fmt: skip
def test_kinds_of_layers(
    text: str, convolution: bool, upsampling: bool, layer: Callable[..., Layer]
) -> None:
    form = layer(text, "x", "y").form
    assert (is_convolution(form), is_upsampling(form)) == (convolution, upsampling)


@pytest.mark.parametrize(
    ("text", "name"),
    [(CONV, "conv"), (UP, "up"), ("nn.Linear(1, 2)", "linear"), (POOL, "pool"), (NORM, "norm"),
     ("nn.AdaptiveAvgPool2d(1)", "pool"), (RELU, "activation"), ("nn.PReLU()", "activation"),
     ("nn.Parameter((4, 1))", "scale"), ("nn.GroupNorm(2, 4)", "norm"),
     ("torch.flatten({0}, 1)", "flatten"), ("F.softmax({0}, dim=1)", "softmax")],
)  # fmt: skip
def test_attributes_of_layers(text: str, name: str, layer: Callable[..., Layer]) -> None:
    assert attribute_name(layer(text, "x", "y").form, {}) == name


def test_attributes_of_blocks(block: Callable[..., Step]) -> None:
    form = block([CONV, RELU]).form
    repeat = repeat_of([block([CONV, RELU])] * 2).form
    assert attribute_name(form, {form: "ResidualBlock"}) == "residual_block"
    assert attribute_name(form, {}) == "layers"
    assert attribute_name(repeat, {form: "ConvBlock"}) == "conv_blocks"


@pytest.mark.parametrize(
    ("texts", "name"),
    [([CONV, RELU], "conv"), ([CONV, CONV], "convs"), ([UP, CONV], "up"), ([NORM, RELU], "norm"),
     ([RELU, "nn.Linear(1, 2)"], "classifier")],
)  # fmt: skip
def test_attributes_of_modules_in_a_row(
    texts: list[str], name: str, layer: Callable[..., Layer]
) -> None:
    forms: list[Form] = [layer(text, "x", "y").form for text in texts]
    assert chain_name(forms, {}) == name


@pytest.mark.parametrize(
    ("word", "several"),
    [("up", "ups"), ("branch_y", "branch_ies"), ("conv_blocks", "conv_blocks")],
)
def test_several(word: str, several: str) -> None:
    assert plural(word) == several


@pytest.mark.parametrize(
    ("name", "words"),
    [("DoubleConv", "double_conv"), ("Up", "up"), ("ConvBlock2", "conv_block2")],
)
def test_class_names_as_attributes(name: str, words: str) -> None:
    assert snake(name) == words


def test_names_are_numbered_where_they_must_be() -> None:
    used = {"training"}
    names = ["conv", "conv", "conv2", "conv", "training"]
    found = [numbered(name, used) for name in names]
    assert found == ["conv", "conv2", "conv2_2", "conv3", "training2"]
    assert used == {*found, "training"}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.from_regex(r"[a-c]{1,2}[12]?(_2)?", fullmatch=True), max_size=30))
def test_numbered_names_are_all_their_own(names: list[str]) -> None:
    used: set[str] = set()
    found = [numbered(name, used) for name in names]
    assert len(set(found)) == len(names)
    for name, given_name in zip(names, found, strict=True):
        assert re.fullmatch(rf"{name}_?\d*", given_name)
