"""What is alike of two layers is their form, and numbers are slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.graph.operators import Source
from volunet.reversing.reading.layers import Layer, LayerForm, Listed, form_of, module_pieces
from volunet.reversing.structure.parameters import literal

CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")


def test_a_module_has_its_arguments_as_slots_with_those_left_out() -> None:
    source = Source("{module}({0})", "nn.Conv3d(4, 8, (1, 3, 3), bias=False)", {"weight": 1})
    form, slots = form_of(source)
    assert form == LayerForm(
        "nn.Conv3d", (*CONV, "bias"), "{module}({0})", weights=("weight",)
    )  # fmt: skip
    assert slots == (4, 8, (1, 3, 3), 1, 0, 1, 1, False)
    assert form.count_slots == 8
    assert form.is_module


def test_arguments_in_another_order_make_the_same_layer() -> None:
    one = form_of(Source("{module}({0})", "nn.Conv3d(4, 8, 3, padding=1, stride=2)"))
    other = form_of(Source("{module}({0})", "nn.Conv3d(4, 8, 3, stride=2, padding=1)"))
    assert one == other
    assert one[1][3:5] == (2, 1)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("nn.MaxPool3d(2)", {"kernel_size": 2, "stride": None, "padding": 0, "dilation": 1,
                             "ceil_mode": False}),
        ("nn.PReLU()", {"num_parameters": 1}),
        ("nn.LPPool3d(2, 3)", {"argument_0": 2, "argument_1": 3}),
        ("nn.Parameter((4, 1))", {"argument_0": (4, 1)}),
        ("nn.Other(size=-3, mode='a')", {"size": -3, "mode": "a"}),
    ],
    ids=["defaults", "none given", "more than known", "parameter", "unknown"],
)  # fmt: skip
def test_a_constructor_is_taken_apart(text: str, pieces: dict[str, Any]) -> None:
    module, found = module_pieces(text)
    assert module == text.split("(")[0]
    assert list(found.items()) == list(pieces.items())


@pytest.mark.parametrize("text", ["3", "nn.ReLU", "a + b"])
def test_what_is_no_constructor_is_refused(text: str) -> None:
    with pytest.raises(TypeError, match=f"^{text!r} is no constructor$".replace("+", r"\+")):
        module_pieces(text)


@pytest.mark.parametrize(
    ("call", "form", "slots"),
    [
        ("torch.cat([{0}, {1}], dim=1)", "torch.cat([{0}, {1}], dim={=0})", (1,)),
        ("F.pad({0}, [0, -1, 2, 3], value=-1.5)", "F.pad({0}, {=0}, value={=1})",
         ((0, -1, 2, 3), -1.5)),
        ("{0}.reshape({0}.shape[0], (2, 3), -1)", "{0}.reshape({0}.shape[{=0}], {=1}, {=2})",
         (0, (2, 3), -1)),
        ("{0}[:, 2:5]", "{0}[:, {=0}:{=1}]", (2, 5)),
        ("{0} * 0.5 + {12}", "{0} * {=0} + {12}", (0.5,)),
        ("f('é⌊', {0}, 3, [True], [])", "f('é⌊', {0}, {=0}, [True], [])", (3,)),
        ("{0}.to(torch.float32)", "{0}.to(torch.float32)", ()),
        ("f([1, {0}], -(1, 2))", "f([{=0}, {0}], -{=1})", (1, (1, 2))),
    ],
    ids=["keyword", "list", "tuple", "slice", "sum", "not ascii", "name", "mixed"],
)  # fmt: skip
def test_numbers_in_a_call_are_slots(call: str, form: str, slots: tuple[Any, ...]) -> None:
    found, values = form_of(Source(call))
    assert (found.call, values, found.module) == (form, slots, "")
    assert found.count_slots == len(slots)
    assert [found.in_call(index) for index in range(len(slots))] == [True] * len(slots)
    assert not found.is_module
    places = [f"{{{index}}}" for index in range(13)]
    assert found.text("", places, [literal(value) for value in values]) == call


def test_a_module_that_is_no_call_of_one_value_stands_in_no_sequence() -> None:
    form, slots = form_of(Source("{0} * {module}", "nn.Parameter((4, 1))"))
    assert (form.call, form.module, slots) == ("{0} * {module}", "nn.Parameter", ((4, 1),))
    assert not form.is_module
    assert form.text("self.scale", ["x"], ["(4, 1)"]) == "x * self.scale"


def test_a_list_stays_a_list_and_a_tuple_a_tuple() -> None:
    _, (listed, single) = form_of(Source("f([1, 2], (3,))"))
    assert (type(listed), type(single)) == (Listed, tuple)
    assert (literal(listed), literal(single)) == ("[1, 2]", "(3,)")


NUMBERS = st.one_of(
    st.integers(-999, 999), st.floats(-1e6, 1e6).filter(lambda value: str(value)[0] != "-")
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.one_of(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=4)), max_size=5))
def test_a_call_is_its_form_with_its_slots(values: list[Any]) -> None:
    call = f"f({', '.join(['{0}', *map(str, values)])})"
    form, slots = form_of(Source(call))
    assert form.count_slots == len(values)
    assert [list(slot) if isinstance(slot, tuple) else slot for slot in slots] == values
    assert form.text("", ["{0}"], [literal(slot) for slot in slots]) == call


def test_calls_of_one_kind_share_a_form_and_of_another_do_not() -> None:
    forms = [form_of(Source(call))[0] for call in ("{0}[2:]", "{0}[7:]", "{0}[:7]", "{1}[2:]")]
    assert [form == forms[0] for form in forms] == [True, True, False, False]


@pytest.mark.parametrize(
    ("call", "module", "arguments", "words", "slots"),
    [
        ("F.relu({0})", "nn.ReLU", (), "", ()),
        ("F.leaky_relu({0}, 0.1)", "nn.LeakyReLU", ("negative_slope",), "", (0.1,)),
        ('F.gelu({0}, approximate="tanh")', "nn.GELU", (), 'approximate="tanh"', ()),
        ('F.interpolate({0}, scale_factor=(2, 1), mode="trilinear", align_corners=True)',
         "nn.Upsample", ("scale_factor",), 'mode="trilinear", align_corners=True', ((2, 1),)),
    ],
    ids=["plain", "slot", "words", "resize"],
)  # fmt: skip
def test_a_function_is_the_module_that_does_the_same(
    call: str, module: str, arguments: tuple[str, ...], words: str, slots: tuple[Any, ...]
) -> None:
    form, found = form_of(Source(call))
    assert (form.module, form.arguments, form.words, found) == (module, arguments, words, slots)
    assert form.call == "{module}({0})"
    assert form.is_module
    assert form.count_slots == len(slots)
    assert all(form.in_call(index) for index in range(len(slots)))
    assert form.text("self.act", ["y"], []) == "self.act(y)"
    plain = LayerForm("", (), form.function)
    assert plain.text("", ["{0}"], [literal(slot) for slot in found]) == call


@pytest.mark.parametrize(
    ("call", "module", "index", "name"),
    [
        ("{module}({0})", "nn.Conv3d(1, 2, 3)", 1, "out_channels"),
        ("F.pad({0}, [1, 2])", None, 0, "padding"),
        ("{0}.reshape(1, 2)", None, 1, "size"),
        ("{0}[:, 3:]", None, 0, "part"),
        ("torch.split({0}, [1, 2], dim=1)", None, 0, "parts"),
        ("{0} + 1", None, 0, ""),
    ],
    ids=["argument", "pad", "reshape", "slice", "split", "number"],
)
def test_a_slot_is_called_by_what_it_is_for(
    call: str, module: str | None, index: int, name: str
) -> None:
    form, _ = form_of(Source(call, module))
    assert form.slot_name(index) == name


def test_a_layer_tells_an_argument_by_name(layer: Callable[..., Layer]) -> None:
    conv = layer("nn.Conv3d(1, 2, 3)", "x", "y")
    assert (conv.argument("kernel_size"), conv.argument("groups")) == (3, 1)
    assert conv.argument("num_features") is None
