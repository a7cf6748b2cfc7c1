"""Settings that give a wanted size: each does, all are there, and nothing nearer is missed."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from volunet.errors import ShapeError
from volunet.graph.shapes.question import FLAGS, AxisSetting, ShapeQuestion, check_question
from volunet.graph.shapes.wanted import MOST, plan_wanted

PADDINGS = range(110)
"""Paddings that the slow search looks at: enough for every size that is drawn here."""


@st.composite
def questions(draw):
    """Questions that PyTorch takes, with the same settings on every axis or on none."""
    operator = draw(st.sampled_from(tuple(FLAGS)))
    ceil = draw(st.booleans()) if operator.endswith("pool") else False
    by_size = draw(st.booleans())

    def axis():
        if operator == "resize":
            value = {"size": draw(st.integers(1, 50))}
            return AxisSetting(
                draw(st.integers(1, 50)),
                **(value if by_size else {"scale": draw(st.integers(1, 40)) / 8}),
            )
        begin = draw(st.integers(0, 3))
        end = begin if draw(st.booleans()) else draw(st.integers(0, 3))
        numbers = [draw(st.integers(1, most)) for most in (20, 5, 4, 3)]
        behind = draw(st.integers(0, 3)) if operator == "conv-transpose" else 0
        return AxisSetting(*numbers, begin, end, behind, ceil)

    rank = draw(st.integers(1, 3))
    axes = (axis(),) * rank if draw(st.booleans()) else tuple(axis() for _ in range(rank))
    question = ShapeQuestion(operator, axes)
    assume(taken(question))
    return question


def taken(question):
    try:
        check_question(question)
    except ShapeError:
        return False
    return True


def typed(question, flags):
    """The question with flags typed behind its own, read here and not by the code under test."""
    words = shlex.split(flags)
    axes = list(question.axes)
    while words:
        flag = words.pop(0)
        if flag in ("--ceil", "--no-ceil"):
            axes = [replace(axis, ceil=flag == "--ceil") for axis in axes]
            continue
        texts = words.pop(0).split(",")
        texts = texts * len(axes) if len(texts) == 1 else texts
        for index, text in enumerate(texts):
            if flag == "--padding":
                begin, _, end = text.partition(":")
                new = {"begin": int(begin), "end": int(end or begin)}
            elif flag == "--scale":
                new = {"scale": float(text), "size": None}
            elif flag == "--size":
                new = {"scale": None, "size": int(text)}
            else:
                new = {flag[2:].replace("-", "_"): int(text)}
            axes[index] = replace(axes[index], **new)
    return replace(question, axes=tuple(axes))


wants = st.lists(st.integers(1, 60), min_size=3, max_size=3)


@given(questions(), wants, st.booleans())
@settings(max_examples=400, deadline=None, derandomize=True)
def test_every_suggestion_gives_the_wanted_size(question, numbers, alike):
    want = tuple(numbers[0] if alike else n for n in numbers[: len(question.axes)])
    wanted = plan_wanted(question, want)
    assert wanted.is_output == (question.output == want)
    assert wanted.reachable == (wanted.is_output or len(wanted.suggestions) > 0)
    for suggestion in wanted.suggestions:
        changed = typed(question, suggestion.flags)
        assert changed == suggestion.question
        assert changed.output == want
        assert taken(changed)
    flags = [suggestion.flags for suggestion in wanted.suggestions]
    assert len(flags) == len(set(flags))
    for nearest in wanted.nearest:
        for side, sign in ((nearest.below, -1), (nearest.above, 1)):
            if side is not None:
                assert taken(side.question)
                assert typed(question, side.flags) == side.question
                for place in nearest.axes:
                    assert sign * (side.question.output[place] - want[place]) > 0


def slowly(question):
    """All that is to be looked at on a single axis, one after the other: kind → questions."""
    (axis,) = question.axes
    transposed = question.operator == "conv-transpose"
    # Larger strides of a convolution give 1, as its padded input does.
    strides = range(1, 60 if transposed else axis.input + axis.begin + axis.end + 1)
    tried = {
        "--padding": [replace(axis, begin=n, end=n) for n in PADDINGS],
        "one-sided": [replace(axis, begin=n, end=n + 1) for n in PADDINGS]
        + [replace(axis, begin=n + 1, end=n) for n in PADDINGS],
        "--stride": [replace(axis, stride=n) for n in strides],
    }
    if transposed:
        paddings = range(max(axis.stride, axis.dilation))
        tried["--output-padding"] = [replace(axis, output_padding=n) for n in paddings]
        tried["both"] = [
            replace(axis, output_padding=n, begin=p, end=p) for n in paddings for p in PADDINGS
        ]
    asked = {
        kind: [replace(question, axes=(axis,)) for axis in axes] for kind, axes in tried.items()
    }
    return {kind: [q for q in found if taken(q)] for kind, found in asked.items()}


def flipped(question):
    return replace(
        question, axes=tuple(replace(axis, ceil=not axis.ceil) for axis in question.axes)
    )


@given(questions(), st.integers(1, 40))
@example(ShapeQuestion("conv-transpose", (AxisSetting(9, 2, 2, 2, 1, 1),)), 18)
@example(ShapeQuestion("conv-transpose", (AxisSetting(9, 2, 2),)), 25)
@example(ShapeQuestion("max-pool", (AxisSetting(9, 2, 2),)), 20)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_nothing_is_missed(question, want):
    """On one axis, against trying everything."""
    assume(question.operator != "resize")
    question = replace(question, axes=question.axes[:1])
    assume(question.output != (want,))
    wanted = plan_wanted(question, (want,))
    found = {suggestion.question for suggestion in wanted.suggestions}
    tried = slowly(question)
    giving = {k: [q for q in qs if q.output == (want,)] for k, qs in tried.items()}
    kinds = ["--padding", "--output-padding", "--stride"]
    if not giving["--padding"]:
        kinds.append("one-sided")
    for kind in kinds:
        listed = {q for q in giving.get(kind, []) if q in found}
        assert len(listed) == min(len(giving.get(kind, [])), MOST) or kind == "one-sided"
        assert bool(listed) == bool(giving.get(kind))
    if question.operator.endswith("pool"):
        other = flipped(question)
        assert (other in found) == (other.output == (want,))
        tried |= {f"flipped {kind}": qs for kind, qs in slowly(other).items()}
        tried["flipped"] = [other] if taken(other) else []
    # With everything tried, also two settings at once, the verdict is the same.
    sizes = {q.output[0] for qs in tried.values() for q in qs} | set(question.output)
    assert wanted.reachable == (want in sizes)
    if not wanted.reachable:
        (nearest,) = wanted.nearest
        below = max((size for size in sizes if size < want), default=None)
        above = min((size for size in sizes if size > want), default=None)
        assert (nearest.below and nearest.below.question.output[0]) == below
        assert (nearest.above and nearest.above.question.output[0]) == above


@pytest.mark.parametrize(
    ("operator", "axes", "want", "flags"),
    [
        (
            "conv-transpose", (AxisSetting(9, 2, 2, 2, 1, 1),) * 3, (18,) * 3,
            ["--output-padding 1", "--padding 0:1", "--padding 1:0"],
        ),
        # Neither alone gives 19; of both together no side differs.
        (
            "conv-transpose", (AxisSetting(9, 2, 2, 2, 1, 1, 1),), (19,),
            ["--padding 0 --output-padding 0", "--padding 0:1", "--padding 1:0"],
        ),
        # Each axis by what does there: no one setting does on both.
        (
            "conv-transpose", (AxisSetting(9, 2, 2), AxisSetting(9, 2, 2)), (19, 16),
            ["--padding 0,1 --output-padding 1,0"],
        ),
        ("conv", (AxisSetting(64, 3),) * 3, (64,) * 3, ["--padding 1"]),
        ("conv", (AxisSetting(64, 3), AxisSetting(64, 5)), (64, 64), ["--padding 1,2"]),
        ("conv", (AxisSetting(64, 4),), (64,), ["--padding 1:2", "--padding 2:1"]),
        ("conv", (AxisSetting(9, 3, 2), AxisSetting(9, 3)), (4, 9), ["--padding 0,1"]),
        ("conv", (AxisSetting(9, 3, 1),), (3,), ["--stride 3"]),
        (
            "max-pool", (AxisSetting(9, 2, 2), AxisSetting(8, 2, 2)), (5, 4),
            ["--padding 1,0", "--ceil"],
        ),
        ("max-pool", (AxisSetting(9, 2, 2, ceil=True),), (4,), ["--no-ceil"]),
        # Of both settings neither alone does.
        ("avg-pool", (AxisSetting(7, 4, 4),), (3,), ["--padding 2 --ceil", "--stride 2 --ceil"]),
        ("resize", (AxisSetting(9, scale=2.0),), (13,), ["--scale 1.5", "--size 13"]),
        ("resize", (AxisSetting(9, size=18), AxisSetting(9, size=9)), (18, 18),
         ["--scale 2", "--size 18"]),
        ("resize", (AxisSetting(9, scale=2.0), AxisSetting(9, scale=2.0)), (18, 27),
         ["--scale 2,3", "--size 18,27"]),
    ],
)  # fmt: skip
def test_suggestions(operator, axes, want, flags):
    wanted = plan_wanted(ShapeQuestion(operator, axes), want)
    assert [suggestion.flags for suggestion in wanted.suggestions] == flags
    assert wanted.more == 0
    assert wanted.nearest == ()


def test_suggestions_beyond_those_written_out_are_counted():
    wanted = plan_wanted(ShapeQuestion("conv", (AxisSetting(100),)), (2,))
    assert [s.flags for s in wanted.suggestions] == [f"--stride {n}" for n in range(50, 58)]
    assert wanted.more == 42  # 58 … 99
    wanted = plan_wanted(
        ShapeQuestion("conv", (AxisSetting(9, 3, 5), AxisSetting(11, 5, 9))), (3, 2)
    )
    # ⌊(6 + 2·p) / 5⌋ = 2 for p = 2, 3, 4 and ⌊(6 + 2·p) / 9⌋ = 1 for p = 2 … 5; ⌊6 / s⌋ = 2 for
    # s = 3 and 1 for s = 4, 5, 6.
    assert wanted.suggestions[0].flags == "--padding 2"
    assert wanted.suggestions[MOST].flags == "--stride 3,4"
    assert len(wanted.suggestions) + wanted.more == 3 * 4 + 1 * 3


def test_large_numbers_are_quick():
    """Paddings and strides are found by halving: 2³¹ of them are as quick as ten."""
    wanted = plan_wanted(ShapeQuestion("conv", (AxisSetting(2**31 - 1, 3),)), (2**31 + 3,))
    assert [s.flags for s in wanted.suggestions] == ["--padding 3"]
    huge = ShapeQuestion("max-pool", (AxisSetting(2**31 - 1, 2**30, 2**30),))
    assert plan_wanted(huge, (2**31,)).reachable is False


def test_scales_that_floating_point_would_miss_are_not_suggested():
    """100·0.29 is 28.999999999999996 in float64, so that PyTorch would give 28."""
    wanted = plan_wanted(ShapeQuestion("resize", (AxisSetting(100, scale=1.0),)), (29,))
    assert [s.flags for s in wanted.suggestions] == ["--scale 0.291", "--size 29"]


def test_nearest():
    wanted = plan_wanted(ShapeQuestion("conv-transpose", (AxisSetting(9, 2, 2),) * 2), (18, 25))
    assert not wanted.reachable
    (nearest,) = wanted.nearest
    assert nearest.axes == (1,)
    assert nearest.below.flags == "--output-padding 0,1"
    assert nearest.below.question.output == (18, 19)
    assert nearest.above.flags == "--stride 2,3"
    assert nearest.above.question.output == (18, 26)


def test_json():
    wanted = plan_wanted(ShapeQuestion("max-pool", (AxisSetting(9, 2, 2),)), (20,))
    assert wanted.to_json() == {
        "size": [20],
        "is_output": False,
        "reachable": False,
        "suggestions": [],
        "more": 0,
        "nearest": [
            {"axes": [0], "below": {"flags": "--stride 1", "output": [8], "note": ""},
             "above": None}
        ],
    }  # fmt: skip
