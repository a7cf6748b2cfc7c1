"""Runs of one block become a repetition, and its numbers follow a pattern."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.reversing.reading.layers import Layer
from volunet.reversing.structure.grammar import RepeatForm, Step, block_of, repeat_of, step_of
from volunet.reversing.structure.repeats import (
    collapse,
    find_runs,
    kernels_of,
    pattern_of,
    patterns_of,
    rebuilt,
    without_single,
)

CONV = "nn.Conv3d(4, 4, 3)"
NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("texts", "runs"),
    [
        ([CONV] * 3, [(0, 3)]),
        ([CONV, "F.relu({0})", CONV, CONV], [(0, 1), (2, 2)]),
        ([CONV, CONV, "nn.Conv3d(4, 4, 1)", "nn.Conv3d(4, 4, 1)"], [(0, 2), (2, 2)]),
        ([CONV, "nn.Conv3d(4, 8, 3, stride=2)"], [(0, 2)]),
        (["F.relu({0})"], []),
    ],
    ids=["all", "another between", "other kernels", "other numbers", "none"],
)
def test_runs_follow_one_another(
    texts: list[str], runs: list[tuple[int, int]], chain: Callable[..., list[Step]]
) -> None:
    steps = chain(*texts)
    form = chain(CONV)[0].form
    assert find_runs(steps, form, NONE) == runs


def test_a_value_that_is_read_elsewhere_ends_a_run(
    chain: Callable[..., list[Step]], layer: Callable[..., Layer]
) -> None:
    steps = chain(CONV, CONV, CONV)
    form = steps[0].form
    added = step_of(layer("{0} + {1}", "t2 t0", "y"))
    assert find_runs([*steps, added], form, NONE) == [(0, 1), (1, 2)]
    assert find_runs(steps, form, frozenset(("t1",))) == [(0, 2), (2, 1)]
    apart = step_of(layer(CONV, "x", "other"))
    assert find_runs([steps[0], apart], form, NONE) == [(0, 1), (1, 1)]


def test_steps_of_two_inputs_are_no_run(layer: Callable[..., Layer]) -> None:
    steps = [step_of(layer("{0} + {1}", f"t{i} x", f"t{i + 1}")) for i in range(3)]
    assert find_runs(steps, steps[0].form, NONE) == []


def test_runs_collapse(chain: Callable[..., list[Step]]) -> None:
    steps = chain(CONV, CONV, "F.relu({0})", CONV)
    once, relu, last = collapse(steps, [(0, 2), (3, 1)])
    assert (once, relu, last) == (repeat_of(steps[:2]), steps[2], repeat_of(steps[3:]))
    assert collapse(steps, []) == steps


@pytest.mark.parametrize(
    ("runs", "pattern"),
    [
        ([[4, 4], [4]], "same"),
        ([[4, 4], [8, 8, 8], [3]], "same"),
        ([[1, 4, 4], [2, 5]], "first"),
        ([[1, 4, 7], [2, 3, 4]], "linear"),
        ([[1, 4, 7], [9]], "linear"),
        ([[1, 4, 8]], "list"),
        ([[0.5, 1.0, 1.5]], "list"),
        ([[(1, 1), (2, 2), (2, 2)]], "first"),
        ([[None, 2, None]], "list"),
    ],
    ids=["same", "in each run", "first", "steps", "short", "list", "fractions", "tuples", "none"],
)
def test_how_a_slot_goes_on(runs: list[list[Any]], pattern: str) -> None:
    assert pattern_of(runs) == pattern


def test_each_slot_has_its_pattern() -> None:
    runs = [[(1, 8, 2), (3, 8, 5), (5, 8, 5)], [(1, 7, 0), (2, 7, 9)]]
    assert patterns_of(runs) == ("linear", "same", "first")


VALUES = st.one_of(st.integers(0, 3), st.sampled_from([0.5, None, (1, 2)]))
RUNS = st.lists(st.lists(VALUES, min_size=1, max_size=5), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(RUNS)
def test_a_pattern_gives_each_run_back(runs: list[list[Any]]) -> None:
    """From its first two values, and from all of them only where nothing shorter does."""
    pattern = pattern_of(runs)

    def same(run: list[Any]) -> bool:
        return run == [run[0]] * len(run)

    def first(run: list[Any]) -> bool:
        return same(run[1:]) if len(run) > 1 else True

    def linear(run: list[Any]) -> bool:
        whole = all(isinstance(value, int) for value in run)
        return whole and len({b - a for a, b in pairwise(run)}) <= 1

    rules = {"same": same, "first": first, "linear": linear, "list": lambda run: True}
    fits = [name for name, rule in rules.items() if all(map(rule, runs))]
    assert pattern == fits[0]


def test_kernels_of_all_layers(chain: Callable[..., list[Step]]) -> None:
    step = block_of(chain(CONV, "F.relu({0})", "nn.MaxPool3d((1, 2, 2))"))
    assert kernels_of(step) == (3, None, (1, 2, 2))


def test_a_repetition_of_one_time_everywhere_is_the_block(
    chain: Callable[..., list[Step]],
) -> None:
    once, twice = chain(CONV), chain(CONV, CONV, start="t0", name="u")
    single = repeat_of(once)
    assert without_single([single]) == once
    both = [single, repeat_of(twice)]
    assert without_single(both) == both
    within = block_of([single, *chain("F.relu({0})", start="t0", name="v")])
    (opened,) = without_single([within])
    assert [part.form for part in opened.parts] == [once[0].form, within.parts[1].form]


def test_steps_are_rebuilt_from_within(chain: Callable[..., list[Step]]) -> None:
    first = block_of(chain(CONV, "F.relu({0})"))
    second = block_of(chain(CONV, "F.relu({0})", start="t1", name="u"))
    asked = []

    def change(step: Step) -> list[Step] | None:
        asked.append(step.form)
        if step.form == first.form:
            return list(step.parts[:1])
        return None

    outer = rebuilt(repeat_of([first, second]), change)
    assert asked == [first.form, second.form, RepeatForm(first.form)]
    assert [part.layers[0].output for part in outer.parts] == ["t0", "u0"]
    assert [len(part.parts) for part in outer.parts] == [1, 1]
    assert outer.form == RepeatForm(outer.parts[0].form)
    assert rebuilt(first, lambda step: None) == first
