"""Which settings of an operator give a wanted size, and where none does, what comes nearest.

Every setting moves the size one way only, so that the settings that give a size are found by
halving, with the operator's own rule: there is no formula turned round.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, product
from typing import Any, Final

from volunet.graph.shapes.question import (
    AxisSetting,
    OperatorName,
    ShapeQuestion,
    float_sizes,
    most_padding,
    output_size,
    two_sided,
)

MOST: Final = 8
"""Suggestions of one kind that are written out; the rest are counted."""

_MOST_SLICES: Final = 2**31
"""Bound of paddings and strides that are looked at: more than any axis has."""

_MOST_DIGITS: Final = 12
"""Digits of a scale behind the point: more would be lost in a float."""


@dataclass(frozen=True)
class Suggestion:
    """Settings that give a size.

    Attributes:
        flags: What to type instead of, or beside, the flags that there were.
        question: The question with these flags.
        note: What to know about it, or nothing.
    """

    flags: str
    question: ShapeQuestion
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"flags": self.flags, "output": list(self.question.output), "note": self.note}


@dataclass(frozen=True)
class Nearest:
    """The sizes that come nearest on axes that the wanted one cannot be had on.

    Attributes:
        axes: The axes, by their places.
        below: What gives the largest size below the wanted one, None where nothing does.
        above: What gives the smallest size above it, None where nothing does.
    """

    axes: tuple[int, ...]
    below: Suggestion | None
    above: Suggestion | None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        sides = {"below": self.below, "above": self.above}
        found = {name: None if side is None else side.to_json() for name, side in sides.items()}
        return {"axes": list(self.axes), **found}


@dataclass(frozen=True)
class Wanted:
    """How a wanted size can be had.

    Attributes:
        size: The wanted size.
        is_output: Whether it is what comes out already.
        suggestions: Settings that give it.
        more: How many there are beside these.
        nearest: What comes nearest, on each axis that cannot have it.
    """

    size: tuple[int, ...]
    is_output: bool
    suggestions: tuple[Suggestion, ...] = ()
    more: int = 0
    nearest: tuple[Nearest, ...] = ()

    @property
    def reachable(self) -> bool:
        """Whether it comes out, or can be made to."""
        return self.is_output or bool(self.suggestions)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "size": list(self.size),
            "is_output": self.is_output,
            "reachable": self.reachable,
            "suggestions": [suggestion.to_json() for suggestion in self.suggestions],
            "more": self.more,
            "nearest": [nearest.to_json() for nearest in self.nearest],
        }


def plan_wanted(question: ShapeQuestion, want: tuple[int, ...]) -> Wanted:
    """Find the settings that give a size.

    Looked at, on the axes that are not right yet and with all else kept: output padding, padding
    alike in front and behind, the two together where neither alone does, padding that differs by 1
    where none alike does, stride, ceil mode;
    ceil mode together with another where nothing else does. Of a resize, scale and size.

    Args:
        question: The operator and its settings.
        want: The wanted size of each axis.

    Returns:
        The settings, or the sizes that come nearest.
    """
    if question.output == want:
        return Wanted(want, is_output=True)
    if question.operator == "resize":
        return Wanted(want, is_output=False, suggestions=tuple(_resizes(question, want)))
    found, more = _suggestions(question, question, want)
    flipped = _flip_ceil(question)
    if flipped is not None:
        if flipped.output == want:
            found.append(Suggestion(_changes(question, flipped), flipped))
        elif not found:
            found, more = _suggestions(question, flipped, want)
    nearest = () if found else tuple(_nearest(question, flipped, want))
    return Wanted(want, is_output=False, suggestions=tuple(found), more=more, nearest=nearest)


@dataclass(frozen=True)
class _Knob:
    """A setting of one axis: its values and how to set it."""

    values: range
    turn: Callable[[AxisSetting, int], AxisSetting]

    def find(self, operator: OperatorName, axis: AxisSetting, want: int) -> range:
        """The places of the values that give a size; empty, it begins where the size is passed."""

        def size(value: int) -> int:
            return output_size(operator, self.turn(axis, value))

        sign = 1 if size(self.values[0]) <= size(self.values[-1]) else -1

        def height(value: int) -> int:
            return sign * size(value)

        first = bisect_left(self.values, sign * want, key=height)
        return range(first, bisect_right(self.values, sign * want, lo=first, key=height))


@dataclass(frozen=True)
class _Choices:
    """Some of the settings of an axis that give the wanted size, and how many there are."""

    first: tuple[AxisSetting, ...]
    count: int


def _knobs(operator: OperatorName, axis: AxisSetting) -> Iterator[tuple[str, _Knob]]:
    """The settings that change a size, in the order in which they are suggested."""
    if operator == "conv-transpose":
        paddings = range(max(axis.stride, axis.dilation))
        yield "output padding", _Knob(paddings, lambda a, n: replace(a, output_padding=n))
        yield "both", _Knob(paddings, lambda a, n: replace(a, begin=0, end=0, output_padding=n))
    half = most_padding(operator, axis)
    most = _MOST_SLICES if half is None else half
    yield "padding", _Knob(range(most + 1), lambda a, n: replace(a, begin=n, end=n))
    if most > 0:
        yield "behind", _Knob(range(most), lambda a, n: replace(a, begin=n, end=n + 1))
        yield "front", _Knob(range(most), lambda a, n: replace(a, begin=n + 1, end=n))
    if operator == "conv-transpose":
        # The output padding stays smaller than the stride or the dilation.
        least = 1 if axis.output_padding < axis.dilation else axis.output_padding + 1
        strides = range(least, _MOST_SLICES)
    else:
        strides = range(1, axis.input + axis.begin + axis.end + 1)
    yield "stride", _Knob(strides, lambda a, n: replace(a, stride=n))


_KINDS: Final = ("output padding", "padding", "both", "behind", "front", "stride")


def _choices(operator: OperatorName, axis: AxisSetting, want: int) -> dict[str, _Choices]:
    """Kind of setting → what gives the wanted size; the axis itself where it is right already."""
    if output_size(operator, axis) == want:
        return dict.fromkeys(_KINDS, _Choices((axis,), 1))
    knobs = dict(_knobs(operator, axis))
    found: dict[str, _Choices] = {}
    for kind in _KINDS:
        if kind == "both":
            if kind in knobs and not found:
                found |= _both(operator, axis, want, knobs)
            continue
        if kind not in knobs or (kind in ("behind", "front") and "padding" in found):
            continue
        knob = knobs[kind]
        places = knob.find(operator, axis, want)
        if places:
            first = tuple(knob.turn(axis, knob.values[place]) for place in places[:MOST])
            found[kind] = _Choices(first, len(places))
    return found


def _both(
    operator: OperatorName, axis: AxisSetting, want: int, knobs: dict[str, _Knob]
) -> dict[str, _Choices]:
    """Output padding and padding together.

    What output padding adds, padding takes off in twos: beside the smallest output padding that is
    enough without padding, every second one does. The smallest of these is given.
    """
    unpadded = knobs["both"]
    enough = unpadded.find(operator, axis, want).start
    for n in unpadded.values[enough : enough + 2]:
        changed = replace(axis, output_padding=n)
        for place in knobs["padding"].find(operator, changed, want):
            padding = knobs["padding"].values[place]
            return {"both": _Choices((replace(changed, begin=padding, end=padding),), 1)}
    return {}


def _suggestions(
    asked: ShapeQuestion, question: ShapeQuestion, want: tuple[int, ...]
) -> tuple[list[Suggestion], int]:
    """Settings for all axes at once, and how many are not written out.

    Args:
        asked: What the flags are told against.
        question: What is changed: `asked`, or the same in the other ceil mode.
        want: The wanted sizes.
    """
    groups = _groups(question, want)
    found = [_choices(question.operator, axis, size) for axis, size in groups]
    rows = [[of[kind] for of in found] for kind in _KINDS if all(kind in of for of in found)]
    if not rows and all(found):
        # No one kind does on all axes: on each axis the first that does there.
        rows = [[next(iter(of.values())) for of in found]]
    suggestions: list[Suggestion] = []
    more = 0
    for row in rows:
        combinations = product(*(choices.first for choices in row))
        for chosen in islice(combinations, MOST):
            changed = _with(question, groups, chosen)
            suggestions.append(Suggestion(_changes(asked, changed), changed, _note(asked, changed)))
        count = math.prod(choices.count for choices in row)
        more += count - min(count, MOST)
    return suggestions, more


def _groups(
    question: ShapeQuestion, want: tuple[int, ...]
) -> dict[tuple[AxisSetting, int], tuple[int, ...]]:
    """Axes that are alike and stay alike: their setting and wanted size → their places."""
    groups: dict[tuple[AxisSetting, int], tuple[int, ...]] = {}
    for index, key in enumerate(zip(question.axes, want, strict=True)):
        groups[key] = (*groups.get(key, ()), index)
    return groups


def _with(
    question: ShapeQuestion,
    groups: dict[tuple[AxisSetting, int], tuple[int, ...]],
    chosen: Sequence[AxisSetting],
) -> ShapeQuestion:
    axes = list(question.axes)
    for places, axis in zip(groups.values(), chosen, strict=True):
        for place in places:
            axes[place] = axis
    return replace(question, axes=tuple(axes))


def _nearest(
    asked: ShapeQuestion, flipped: ShapeQuestion | None, want: tuple[int, ...]
) -> Iterator[Nearest]:
    """What comes nearest on each axis that cannot have its size; the other axes stay."""
    for (_, size), places in _groups(asked, want).items():
        tried: list[ShapeQuestion] = []
        for question in (asked, flipped):
            if question is not None:
                start = question.axes[places[0]]
                for changed in (start, *_beside(question.operator, start, size)):
                    axes = [changed if i in places else a for i, a in enumerate(question.axes)]
                    tried.append(replace(question, axes=tuple(axes)))
        sizes = {id(q): q.output[places[0]] for q in tried}
        if size in sizes.values():
            continue
        tried = [q for q in tried if min(q.output) >= 1]
        below = [q for q in tried if sizes[id(q)] < size]
        above = [q for q in tried if sizes[id(q)] > size]
        # Of those that come as near, the first: all as it is, then the simplest change.
        best_below = max(below, key=lambda q: sizes[id(q)], default=None)
        best_above = min(above, key=lambda q: sizes[id(q)], default=None)
        yield Nearest(places, _suggested(asked, best_below), _suggested(asked, best_above))


def _beside(operator: OperatorName, axis: AxisSetting, want: int) -> Iterator[AxisSetting]:
    """The settings just before and behind, or at, the place where the size is passed."""
    for _, knob in _knobs(operator, axis):
        places = knob.find(operator, axis, want)
        for place in (places.start - 1, places.start, places.stop):
            if 0 <= place < len(knob.values):
                yield knob.turn(axis, knob.values[place])


def _resizes(question: ShapeQuestion, want: tuple[int, ...]) -> Iterator[Suggestion]:
    scales = [_scale(axis, size) for axis, size in zip(question.axes, want, strict=True)]
    scaled = [
        replace(axis, scale=scale, size=None)
        for axis, scale in zip(question.axes, scales, strict=True)
        if scale is not None
    ]
    sized = [replace(axis, scale=None, size=s) for axis, s in zip(question.axes, want, strict=True)]
    for axes in (scaled, sized):
        if len(axes) == len(want):
            changed = replace(question, axes=tuple(axes))
            other = question.flags[0]
            note = "" if other in changed.flags else f"instead of {other}"
            yield Suggestion(_changes(question, changed), changed, note)


def _scale(axis: AxisSetting, want: int) -> float | None:
    """The shortest scale that gives a size, in floating point as well; None where none does."""
    if axis.scale is not None and output_size("resize", axis) == want:
        return axis.scale
    for digits in range(_MOST_DIGITS + 1):
        least = math.ceil(Fraction(want * 10**digits, axis.input))
        # The very least may be rounded to less, the one above it is not.
        for steps in (least, least + 1):
            scale = float(Fraction(steps, 10**digits))
            scaled = replace(axis, scale=scale, size=None)
            if {output_size("resize", scaled), *float_sizes(scaled).values()} == {want}:
                return scale
    return None


def _flip_ceil(question: ShapeQuestion) -> ShapeQuestion | None:
    if question.operator not in ("max-pool", "avg-pool"):
        return None
    return replace(
        question, axes=tuple(replace(axis, ceil=not axis.ceil) for axis in question.axes)
    )


def _suggested(asked: ShapeQuestion, changed: ShapeQuestion | None) -> Suggestion | None:
    if changed is None:
        return None
    return Suggestion(_changes(asked, changed), changed, _note(asked, changed))


def _changes(asked: ShapeQuestion, changed: ShapeQuestion) -> str:
    """The flags that make one question the other."""
    flags = [f for f in changed.flags if f not in asked.flags or asked.flag(f) != changed.flag(f)]
    texts = [changed.flag(flag) for flag in flags]
    if changed.ceil != asked.ceil:
        texts.append("--ceil" if changed.ceil else "--no-ceil")
    return " ".join(texts)


def _note(asked: ShapeQuestion, changed: ShapeQuestion) -> str:
    """Where a padding came to differ in front and behind, how to come by it."""
    f = "--padding"
    pairs = zip(asked.axes, changed.axes, strict=True)
    odd = any(new.begin != new.end and new.text(f) != old.text(f) for old, new in pairs)
    return two_sided(changed.operator) if odd else ""
