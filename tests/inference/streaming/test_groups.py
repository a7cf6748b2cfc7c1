"""Which nodes share a call, and what a call that makes less still does."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from volunet.inference.streaming.kernels import channels_last, kernel_of, make_kernel, with_slices

SIZE = (9, 4, 3)


def kinds(built: Any) -> list[list[str]]:
    return [[step.rule.op_type for step in group.steps] for group in built.groups]


def test_what_is_slice_by_slice_joins_the_call_before_it(net: Any, build: Any) -> None:
    made = net(SIZE)
    made.conv(3, (3, 1, 1))
    relu = made.add("Relu")
    made.add("MaxPool", kernel_shape=[2, 1, 1], strides=[2, 1, 1])
    made.conv(3, (2, 1, 1))
    made.add("MaxPool", kernel_shape=[2, 1, 1])  # windows overlap
    built = build(made.model(), SIZE, 2, 3)
    assert kinds(built) == [["Conv", "Relu", "MaxPool"], ["Conv"], ["MaxPool"]]
    first = built.groups[0]
    assert first.ratios[relu] == 1
    assert first.ratios[first.outputs[0]] == Fraction(1, 2)
    assert first.granule == 2  # half a slice cannot be made
    assert built.groups[1].granule == 1


def test_joined_tensors_are_never_held_but_their_parts_are(net: Any, build: Any) -> None:
    made = net(SIZE)
    a, b = made.add("Relu", "x"), made.add("Neg", "x")
    inner = made.add("Concat", a, b, axis=1)
    outer = made.add("Concat", inner, a, axis=-4)
    made.conv(2, (3, 1, 1))
    built = build(made.model(), SIZE, 2)
    (feed,) = built.groups[-1].feeds
    assert (feed.tensor, feed.parts) == (outer, (a, b, a))
    assert all("Concat" not in group for group in kinds(built))
    made.add("Concat", made.x, made.x, axis=1)  # the answer itself is joined for real
    assert kinds(build(made.model(), SIZE, 2))[-1] == ["Conv", "Concat"]


@pytest.fixture
def forked(net: Any, build: Any) -> Any:
    """One call with two outputs, that have a node each of their own."""
    made = net(SIZE)
    made.conv(3, (3, 1, 1), pads=[1, 0, 0, 1, 0, 0])
    fine = made.add("Relu")
    coarse = made.add("MaxPool", kernel_shape=[3, 1, 1], strides=[3, 1, 1])
    made.transposed(3, (3, 1, 1), strides=[3, 1, 1])
    made.add("Concat", fine, made.x, axis=1)
    made.conv(2, (1, 1, 1))
    return build(made.model(), SIZE, 2, 3), fine, coarse


def test_a_kernel_of_some_outputs_has_what_leads_to_them(forked: Any) -> None:
    built, fine, coarse = forked
    kernel = make_kernel(built.fixed, built.groups[0], built.axes, 3)
    assert kernel.group.outputs == (fine, coarse)
    assert kernel.output_shapes == ((1, 3, 4, 3, 3), (1, 1, 4, 3, 3))
    assert kernel_of(kernel, (coarse, fine)) is kernel
    less = kernel_of(kernel, (fine,))
    assert [step.rule.op_type for step in less.group.steps] == ["Conv", "Relu"]
    assert (less.group.outputs, less.output_shapes) == ((fine,), ((1, 3, 4, 3, 3),))
    assert less.group.reads == {(0, 0): less.group.feeds[0].key}
    assert less.group.flops < kernel.group.flops
    more = kernel_of(kernel, (coarse,))
    assert len(more.group.steps) == 3
    assert more.output_shapes == ((1, 1, 4, 3, 3),)
    assert (kernel.runs, less.runs, more.runs) == (3, 3, 3)


def test_a_kernel_of_one_branch_lets_go_of_the_others_window(net: Any, build: Any) -> None:
    made = net(SIZE)
    skip = made.conv(2, (3, 1, 1), pads=[1, 0, 0, 1, 0, 0])
    made.conv(2, (3, 1, 1), pads=[1, 0, 0, 1, 0, 0])
    first = made.add("Relu")
    made.add("Add", first, skip)
    made.add("MaxPool", kernel_shape=[2, 1, 1], strides=[2, 1, 1])
    built = build(made.model(), SIZE, 2, 4)
    kernel = make_kernel(built.fixed, built.groups[1], built.axes, 4)
    assert [feed.tensor for feed in kernel.group.feeds] == [skip, skip]
    assert [window.length for window in kernel.windows] == [6, 4]


def test_shapes() -> None:
    assert channels_last((1, 2, 3, 4, 5)) == (1, 3, 4, 5, 2)
    assert with_slices((1, 2, 3, 4, 5), 3, 9) == (1, 2, 3, 9, 5)
