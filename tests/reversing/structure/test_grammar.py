"""Two parts of a graph have one form exactly if they are alike up to their slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from volunet.reversing.reading.layers import Layer
from volunet.reversing.structure.grammar import (
    BlockForm,
    BodyStep,
    Column,
    RepeatForm,
    Step,
    all_steps,
    block_of,
    count_slots,
    repeat_of,
    step_of,
)

CONV = "nn.Conv3d({0}, {1}, 3)"


@pytest.fixture
def block(layer: Callable[..., Layer]) -> Callable[..., Step]:
    """``relu(conv(a)) + b`` of channels, of tensors whose names begin alike."""

    def make(channels: int, name: str, *, a: str = "a", b: str = "b", **keys: Any) -> Step:
        layers = [
            layer(CONV.format(channels, channels), a, f"{name}0"),
            layer("F.relu({0})", f"{name}0", f"{name}1"),
            layer("{0} + {1}", f"{name}1 {b}", f"{name}2"),
        ]
        return block_of([step_of(each) for each in layers], **keys)

    return make


def test_a_layer_is_a_step_of_itself(layer: Callable[..., Layer]) -> None:
    conv = layer("nn.Conv3d(1, 2, 3)", "x", "y")
    step = step_of(conv)
    assert (step.form, step.slots, step.inputs, step.output) == (
        conv.form,
        conv.slots,
        ("x",),
        "y",
    )
    assert (step.first, step.last, step.layers, step.parts) == (conv, conv, [conv], ())


def test_a_block_reads_inputs_in_order_and_steps_by_number(block: Callable[..., Step]) -> None:
    step = block(4, "p")
    form = step.form
    assert isinstance(form, BlockForm)
    assert [part.inputs for part in form.steps] == [(-1,), (0,), (1, -2)]
    assert (form.arity, form.is_head, form.is_chain) == (2, False, False)
    assert (step.inputs, step.output) == (("a", "b"), "p2")
    assert step.slots == (4, 4, 3, 1, 0, 1, 1, True)
    assert (form.offsets, form.count_slots) == ([0, 8, 8, 8], 8)
    assert [layer.output for layer in step.layers] == ["p0", "p1", "p2"]
    assert (step.first.output, step.last.output) == ("p0", "p2")


def test_forms_are_alike_up_to_numbers_and_names(block: Callable[..., Step]) -> None:
    form = block(4, "p").form
    assert form == block(8, "q", a="c", b="d").form
    assert hash(form) == hash(block(8, "q").form)


def test_forms_differ_by_what_is_read_and_by_being_the_head(block: Callable[..., Step]) -> None:
    form = block(4, "p").form
    others = [
        block(4, "p", b="a").form,
        block(4, "p", b="p0").form,
        block(4, "p", is_head=True).form,
    ]
    assert [form == other for other in others] == [False] * 3
    assert form != "a text"
    assert len({form, *others}) == 4


def test_one_input_that_is_read_twice_is_one(block: Callable[..., Step]) -> None:
    step = block(4, "p", b="a")
    assert step.inputs == ("a",)
    assert isinstance(step.form, BlockForm)
    assert step.form.steps[2].inputs == (1, -1)
    assert (step.form.arity, step.form.is_chain) == (1, False)


def test_a_chain_reads_the_step_before_only(chain: Callable[..., list[Step]]) -> None:
    form = block_of(chain(CONV.format(1, 2), "F.relu({0})")).form
    assert isinstance(form, BlockForm)
    assert form.is_chain


def test_a_repetition_has_columns(chain: Callable[..., list[Step]]) -> None:
    steps = chain(CONV.format(1, 4), CONV.format(4, 4), CONV.format(4, 6))
    step = repeat_of(steps)
    assert step.form == RepeatForm(steps[0].form)
    assert step.slots[:3] == (3, (1, 4, 4), (4, 4, 6))
    assert all(type(slot) is Column for slot in step.slots[1:])
    assert (step.inputs, step.output) == (("x",), "t2")
    assert count_slots(step.form) == 9 == len(step.slots)
    assert (step.first.output, step.last.output) == ("t0", "t2")


def test_slots_of_blocks_within_blocks(
    block: Callable[..., Step], chain: Callable[..., list[Step]]
) -> None:
    inner = block(4, "p")
    (after,) = chain(CONV.format(4, 6), start="p2")
    outer = block_of([inner, after])
    assert isinstance(outer.form, BlockForm)
    assert outer.form.steps == (BodyStep(inner.form, (-1, -2)), BodyStep(after.form, (0,)))
    assert outer.form.offsets == [0, 8, 16]
    assert outer.slots == (*inner.slots, *after.slots)
    assert count_slots(outer.form) == 16


def test_all_steps_are_found_outer_ones_first(
    block: Callable[..., Step], chain: Callable[..., list[Step]]
) -> None:
    inner = block(4, "p")
    (after,) = chain(CONV.format(4, 6), start="p2")
    outer = block_of([inner, after])
    assert list(all_steps([outer])) == [outer, inner, *inner.parts, after]
