"""Scalars are an instance's values one by one, from which its slots follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.reversing.structure.grammar import BlockForm, Step, block_of, repeat_of
from volunet.reversing.structure.scalars import ANY, Place, Scalars, count_layers, layer_forms

RELU = "F.leaky_relu({{0}}, {0})"


@pytest.fixture(scope="session")
def runs(chain: Callable[..., list[Step]]) -> Callable[..., list[Step]]:
    """Repetitions of ``torch.split`` of sizes and a leaky ReLU of slopes."""

    def make(*values: list[tuple[int, float]]) -> list[Step]:
        steps = []
        for index, run in enumerate(values):
            texts = [t for a, b in run for t in (f"f({{0}}, {a})", RELU.format(b))]
            parts = chain(*texts, start=f"x{index}", name=f"t{index}_")
            blocks = [block_of(parts[place : place + 2]) for place in range(0, len(parts), 2)]
            steps.append(repeat_of(blocks))
        return steps

    return make


def test_scalars_of_layers_and_blocks_are_their_slots(chain: Callable[..., list[Step]]) -> None:
    step = block_of(chain("nn.Conv3d(1, 4, 3)", RELU.format(0.2)))
    scalars = Scalars([step])
    assert scalars.of(step.parts[0]) == (1, 4, 3, 1, 0, 1, 1, True)
    assert scalars.of(step) == (1, 4, 3, 1, 0, 1, 1, True, 0.2)
    assert isinstance(step.form, BlockForm)
    assert scalars.offsets(step.form) == [0, 8, 9]
    assert scalars.instances[step.form] == [step]


@pytest.mark.parametrize(
    ("values", "patterns", "scalars"),
    [
        ([[(4, 0.1), (4, 0.1)]], ("same", "same"), [(2, 4, 0.1)]),
        ([[(4, 0.1), (6, 0.2), (6, 0.2)]], ("first", "first"), [(3, 4, 6, 0.1, 0.2)]),
        ([[(4, 0.1), (6, 0.2)], [(9, 0.3)]], ("first", "first"),
         [(2, 4, 6, 0.1, 0.2), (1, 9, ANY, 0.3, ANY)]),
        ([[(4, 0.1), (6, 0.1), (8, 0.1)], [(1, 0.5)]], ("linear", "same"),
         [(3, 4, 2, 0.1), (1, 1, ANY, 0.5)]),
        ([[(4, 0.1), (6, 0.1), (9, 0.2)]], ("list", "list"),
         [(3, (4, 6, 9), (0.1, 0.1, 0.2))]),
    ],
    ids=["same", "first", "one time", "linear", "list"],
)  # fmt: skip
def test_a_repetition_has_scalars_by_pattern(
    values: Any, patterns: Any, scalars: Any, runs: Callable[..., list[Step]]
) -> None:
    steps = runs(*values)
    found = Scalars(steps)
    assert found.patterns(steps[0].form) == patterns
    assert [found.of(step) for step in steps] == scalars


def test_places_say_what_scalars_are(
    chain: Callable[..., list[Step]], runs: Callable[..., list[Step]]
) -> None:
    (repeat,) = runs([(4, 0.1), (6, 0.2)])
    (pad,) = chain("F.pad({0}, [1, 2])", start=repeat.output, name="u")
    step = block_of([repeat, pad])
    scalars = Scalars([step])
    assert scalars.places(repeat.form) == (
        Place("depth", -1),
        Place("", 0),
        Place("", 0),
        Place("negative_slope", 1),
        Place("negative_slope", 1),
    )
    assert scalars.places(step.form)[-1] == Place("padding", 2)
    assert isinstance(step.form, BlockForm)
    assert scalars.offsets(step.form) == [0, 5, 6]
    assert count_layers(step.form) == 3
    assert [form.module for form in layer_forms(step.form)] == ["", "nn.LeakyReLU", ""]


def test_steps_that_come_and_go_keep_their_own_scalars(
    runs: Callable[..., list[Step]],
) -> None:
    scalars = Scalars(runs([(1, 0.1)]))
    for number in range(50):  # a step that is gone leaves its id to the next
        (step,) = runs([(number, 0.1)])
        assert scalars.of(step.parts[0].parts[0]) == (number,)
        del step


def test_what_does_not_matter_shows_as_such() -> None:
    assert repr(ANY) == "ANY"


PAIRS = st.tuples(st.integers(0, 3), st.sampled_from([0.1, 0.2, 0.3]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.lists(PAIRS, min_size=1, max_size=4), min_size=1, max_size=3))
def test_scalars_give_each_instances_slots_back(
    runs: Callable[..., list[Step]], values: list[list[tuple[int, float]]]
) -> None:
    steps = runs(*values)
    scalars = Scalars(steps)
    patterns = scalars.patterns(steps[0].form)
    for step in steps:
        times, *rest = scalars.of(step)
        assert isinstance(times, int)
        columns: list[list[Any]] = []
        for pattern in patterns:
            first: Any = rest.pop(0)
            other: Any = rest.pop(0) if pattern in ("first", "linear") else None
            match pattern:
                case "same":
                    columns.append([first for _ in range(times)])
                case "first":
                    columns.append([first if index == 0 else other for index in range(times)])
                case "linear":
                    columns.append([first + index * other if index else first
                                    for index in range(times)])  # fmt: skip
                case _:
                    columns.append(list(first))
        assert rest == []
        assert list(zip(*columns, strict=True)) == [part.slots for part in step.parts]
