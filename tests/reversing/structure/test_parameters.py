"""What differs between the instances of a block is an argument, or follows from arguments."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.reversing.reading.layers import Listed
from volunet.reversing.structure.grammar import Step, block_of, repeat_of
from volunet.reversing.structure.parameters import Parameters, literal, parameters_of, type_of
from volunet.reversing.structure.scalars import ANY, Scalars

CONV = "nn.Conv3d({}, {}, {}, padding={}, groups={})"

Conv = tuple[int, int, int, int, int]


def conv(a: int, b: int, kernel: int = 3, padding: int = 1, groups: int = 1) -> str:
    return CONV.format(a, b, kernel, padding, groups)


@pytest.fixture(scope="session")
def of(chain: Callable[..., list[Step]]) -> Callable[..., Parameters]:
    """The parameters of blocks of some layers each."""

    def make(*instances: list[str]) -> Parameters:
        steps = [block_of(chain(*texts, start=f"x{i}")) for i, texts in enumerate(instances)]
        scalars = Scalars(steps)
        return parameters_of(steps[0].form, scalars)

    return make


def arguments(found: Parameters) -> list[tuple[str, int, str]]:
    return [(p.name, p.index, p.type) for p in found.arguments]


def channels(found: Parameters) -> list[str]:
    """The texts of each convolution's channels."""
    return [", ".join(found.texts[i : i + 2]) for i in range(0, len(found.texts), 8)]


def test_the_ends_of_a_single_block_are_its_arguments(of: Any) -> None:
    found = of([conv(1, 4), conv(4, 8)])
    assert arguments(found) == [("in_channels", 0, "int"), ("out_channels", 9, "int")]
    assert found.texts == (
        "in_channels", "4", "3", "1", "1", "1", "1", "True",
        "4", "out_channels", "3", "1", "1", "1", "1", "True",
    )  # fmt: skip


def test_of_several_only_what_differs_is_an_argument(of: Any) -> None:
    found = of([conv(4, 8)], [conv(4, 16)])
    assert arguments(found) == [("out_channels", 1, "int")]
    assert found.texts[:3] == ("4", "out_channels", "3")


@pytest.mark.parametrize(
    ("instances", "names", "texts"),
    [
        ([[(1, 4), (4, 4)], [(4, 8), (8, 8)]], ["in_channels", "out_channels"],
         ["in_channels, out_channels", "out_channels, out_channels"]),
        ([[(4, 8), (8, 4)], [(8, 16), (16, 8)]], ["in_channels"],
         ["in_channels, 2 * in_channels", "2 * in_channels, in_channels"]),
        ([[(8, 2), (2, 16)], [(16, 4), (4, 8)]], ["in_channels", "out_channels"],
         ["in_channels, in_channels // 4", "in_channels // 4, out_channels"]),
        ([[(3, 8), (11, 5)], [(5, 7), (10, 9)]],
         ["in_channels", "out_channels", "hidden_channels", "hidden_channels_2"],
         ["in_channels, hidden_channels", "hidden_channels_2, out_channels"]),
        ([[(3, 5), (8, 5)], [(4, 9), (13, 9)]], ["in_channels", "out_channels"],
         ["in_channels, out_channels", "in_channels + out_channels, out_channels"]),
        ([[(3, 5), (27, 5)], [(4, 9), (36, 9)]],
         ["in_channels", "out_channels", "hidden_channels"],
         ["in_channels, out_channels", "hidden_channels, out_channels"]),
    ],
    ids=["double", "twice", "part", "own", "sum", "nine times"],
)  # fmt: skip
def test_numbers_that_follow_from_arguments(
    instances: Any, names: list[str], texts: list[str], of: Any
) -> None:
    found = of(*([conv(a, b) for a, b in pairs] for pairs in instances))
    assert [p.name for p in found.arguments] == names
    assert channels(found) == texts


def test_half_a_kernel_and_a_groups_of_channels(of: Any) -> None:
    found = of([conv(4, 4, 3, 1, 4)], [conv(8, 8, 5, 2, 8)])
    assert arguments(found) == [("in_channels", 0, "int"), ("kernel_size", 2, "int")]
    assert found.texts[:7] == (
        "in_channels", "in_channels", "kernel_size", "1", "kernel_size // 2", "1", "in_channels",
    )  # fmt: skip


def test_numbers_that_are_equal_by_chance_are_arguments_of_their_own(of: Any) -> None:
    found = of([conv(1, 1, 1, 1)], [conv(2, 2, 3, 2)])
    assert [p.name for p in found.arguments] == ["in_channels", "kernel_size", "padding"]


def test_a_constant_is_not_taken_for_an_argument_that_is_the_same_once(of: Any) -> None:
    found = of([conv(1, 3)])
    assert found.texts[:5] == ("in_channels", "out_channels", "3", "1", "1")


def test_a_number_without_a_name(of: Any) -> None:
    found = of(["f({0}, 0.5)", "f({0}, 2)"], ["f({0}, 1.5)", "f({0}, 3)"])
    assert arguments(found) == [("number", 0, "float"), ("number_2", 1, "int")]
    assert found.texts == ("number", "number_2")


def test_what_does_not_matter_takes_what_does(chain: Callable[..., list[Step]]) -> None:
    """Of a stage of one block, the channels of its further blocks."""
    steps = []
    for index, sizes in enumerate([(1, 4, 4), (8, 6)]):
        texts = [conv(a, b) for a, b in pairwise(sizes)]
        run = [block_of([step]) for step in chain(*texts, start=f"x{index}")]
        steps.append(repeat_of(run))
    scalars = Scalars(steps)
    assert [scalars.of(step)[:4] for step in steps] == [(2, 1, 4, 4), (1, 8, ANY, 6)]
    found = parameters_of(steps[0].form, scalars)
    assert arguments(found) == [
        ("in_channels", 1, "int"),
        ("out_channels", 3, "int"),
        ("depth", 0, "int"),
    ]
    assert found.texts[:4] == ("depth", "in_channels", "out_channels", "out_channels")


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (-0.5, "-0.5"), (True, "True"), (None, "None"), ("same", "'same'"),
     ((1, 2), "(1, 2)"), ((1,), "(1,)"), (Listed((1, 2)), "[1, 2]"), (Listed((1,)), "[1]"),
     (float("-inf"), 'float("-inf")'), ((1, ANY), "(1, 1)"), (ANY, "1"),
     (((1, 2), (3,)), "((1, 2), (3,))")],
)  # fmt: skip
def test_values_as_python(value: Any, text: str) -> None:
    assert literal(value) == text


@pytest.mark.parametrize(
    ("column", "text"),
    [((3, 4), "int"), ((3, ANY), "int"), ((ANY,), "int"), ((1, 0.5), "int | float"),
     ((None, 2), "int | None"), ((True, False), "bool"), (((1, 2), (0.5, 2)),
     "tuple[float, int] | tuple[int, int]"), ((Listed((1, 2)),), "list[int]"),
     ((Listed((1, 0.5)),), "list[float]"), (((1, 2), 3), "int | tuple[int, int]")],
)  # fmt: skip
def test_types_as_python(column: Any, text: str) -> None:
    assert type_of(column) == text


COUNTS = st.lists(st.integers(1, 6), min_size=5, max_size=5).map(tuple)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.lists(COUNTS, min_size=2, max_size=2), min_size=1, max_size=4))
def test_texts_give_each_instances_numbers_back(of: Any, instances: list[list[Conv]]) -> None:
    found = of(*([CONV.format(*numbers) for numbers in layers] for layers in instances))
    assert len({p.name for p in found.arguments}) == len(found.arguments)
    for layers in instances:
        numbers = [(a, b, kernel, 1, pad, 1, groups, True) for a, b, kernel, pad, groups in layers]
        values = [value for layer in numbers for value in layer]
        given = {p.name: values[p.index] for p in found.arguments}
        assert [eval(text, given) for text in found.texts] == values  # noqa: S307 - our own text
    for name in ("in_channels", "out_channels"):
        if any(p.name == name for p in found.arguments):
            assert {"int"} == {p.type for p in found.arguments if p.name == name}
