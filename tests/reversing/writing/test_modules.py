"""Constructors of modules, sequences of them, and the paths of what they hold."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from volunet.reversing.reading.layers import Layer
from volunet.reversing.structure.grammar import Step, block_of, repeat_of, step_of
from volunet.reversing.structure.parameters import literal
from volunet.reversing.structure.scalars import Scalars
from volunet.reversing.writing.modules import (
    Classes,
    Element,
    Layouts,
    body_elements,
    constructor,
    elements,
    sequence_lines,
    spliced,
)

RELU = "F.relu({0})"


def texts_of(step: Step, classes: Classes) -> list[str]:
    return [literal(value) for value in classes.scalars.of(step)]


def classes_of(*steps: Step, **names: Step) -> Classes:
    return Classes(Scalars(steps), {step.form: name for name, step in names.items()})


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("nn.Conv3d(1, 2, (1, 3, 3), padding=(0, 1, 1), bias=True)",
         "nn.Conv3d(1, 2, (1, 3, 3), padding=(0, 1, 1))"),
        ("nn.Conv3d(4, 4, kernel_size=3, stride=2, groups=4, bias=False)",
         "nn.Conv3d(4, 4, 3, stride=2, groups=4, bias=False)"),
        ("nn.MaxPool3d(2, stride=None, padding=0)", "nn.MaxPool3d(2)"),
        ("nn.MaxPool3d(3, stride=2, padding=1)", "nn.MaxPool3d(3, stride=2, padding=1)"),
        ("nn.PReLU(1)", "nn.PReLU()"),
        ("nn.PReLU(4)", "nn.PReLU(4)"),
        ("nn.LPPool2d(2, 3)", "nn.LPPool2d(2, 3)"),
        ("nn.Parameter((4, 1, 1))", "nn.Parameter(torch.zeros((4, 1, 1)))"),
        ("F.leaky_relu({0}, 0.01)", "nn.LeakyReLU()"),
        ("F.leaky_relu({0}, 0.2)", "nn.LeakyReLU(0.2)"),
        ("F.softmax({0}, dim=1)", "nn.Softmax(dim=1)"),
        ('F.gelu({0}, approximate="tanh")', 'nn.GELU(approximate="tanh")'),
        ("torch.flatten({0})", "nn.Flatten(0)"),
    ],
)  # fmt: skip
def test_how_layers_are_made(given: str, written: str, layer: Callable[..., Layer]) -> None:
    step = step_of(layer(given, "x", "y"))
    classes = classes_of(step)
    assert constructor(step.form, texts_of(step, classes), classes) == written
    assert elements(step.form, texts_of(step, classes), classes) == [Element(written)]


def test_a_class_is_made_by_its_arguments(chain: Callable[..., list[Step]]) -> None:
    steps = [
        block_of(chain(f"nn.Conv3d({a}, {b}, 3)", RELU, start=f"x{a}")) for a, b in ((1, 4), (4, 6))
    ]
    classes = classes_of(*steps, Block=steps[0])
    texts = ["a", "b", *texts_of(steps[0], classes)[2:]]
    assert constructor(steps[0].form, texts, classes) == "Block(a, b)"
    classes.names.clear()
    assert (
        constructor(steps[0].form, texts, classes) == "nn.Sequential(nn.Conv3d(a, b, 3), nn.ReLU())"
    )
    assert body_elements(steps[0].form, texts, classes) == [
        Element("nn.Conv3d(a, b, 3)"),
        Element("nn.ReLU()"),
    ]


def test_what_can_stand_in_a_sequence(
    chain: Callable[..., list[Step]], layer: Callable[..., Layer]
) -> None:
    conv, relu = chain("nn.Conv3d(1, 4, 3)", RELU)
    added = step_of(layer("{0} + {1}", "t1 b", "y"))
    inner = step_of(layer("{0} + {1}", "t1 t0", "y"))
    forms = [
        conv.form,
        relu.form,
        added.form,
        block_of([conv, relu]).form,
        block_of([conv, relu, inner]).form,
        block_of([conv, relu, added]).form,
        repeat_of([block_of([conv])]).form,
    ]
    classes = classes_of(conv)
    assert [classes.is_module(form) for form in forms] == [
        True, True, False, True, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sizes", "written"),
    [
        ([4, 4, 4], "*(nn.Conv3d(4, 4, 3) for _ in range(2))"),
        ([1, 4, 4], "*(nn.Conv3d(inputs, 4, 3) for inputs in (1, 4))"),
        ([1, 4, 4, 4, 4], "*(nn.Conv3d(1 if index == 0 else 4, 4, 3) for index in range(4))"),
        ([1, 4, 7, 10],
         "*(nn.Conv3d(1 + 3 * index, 4 + 3 * index, 3) for index in range(3))"),
        ([1, 2, 3, 4], "*(nn.Conv3d(1 + index, 2 + index, 3) for index in range(3))"),
        ([1, 4, 6, 5],
         "*(nn.Conv3d((1, 4, 6)[index], (4, 6, 5)[index], 3) for index in range(3))"),
        ([1, 4, 2], "*(nn.Conv3d(inputs, outputs, 3) for inputs, outputs in ((1, 4), (4, 2)))"),
    ],
    ids=["same", "first", "first of many", "steps", "steps of one", "list", "two values"],
)  # fmt: skip
def test_how_repetitions_are_made(
    sizes: list[int], written: str, chain: Callable[..., list[Step]]
) -> None:
    texts = [f"nn.Conv3d({a}, {b}, 3)" for a, b in pairwise(sizes)]
    step = repeat_of([block_of([part]) for part in chain(*texts)])
    classes = classes_of(step)
    assert elements(step.form, texts_of(step, classes), classes) == [Element(written)]


PADDED = "nn.Conv3d({}, 4, 3, padding={})"


def test_a_loop_is_over_values_or_over_numbers(chain: Callable[..., list[Step]]) -> None:
    parts = chain(*(PADDED.format(a, b) for a, b in ((1, 0), (2, 3), (3, 3))))
    step = repeat_of([block_of([part]) for part in parts])
    classes = classes_of(step)
    assert elements(step.form, texts_of(step, classes), classes) == [
        Element(
            "*(nn.Conv3d(1 + index, 4, 3, padding=0 if index == 0 else 3) for index in range(3))"
        )
    ]


def test_a_loops_variable_is_no_argument(chain: Callable[..., list[Step]]) -> None:
    parts = chain(*(PADDED.format(4, b) for b in (0, 2, 3, 2)))
    step = repeat_of([block_of(parts[:2]), block_of(parts[2:])])
    classes = classes_of(step)
    texts = texts_of(step, classes)
    assert (texts[5], texts[6], texts[-4]) == ("0", "3", "2")
    texts[5] = texts[-4] = "padding"
    (element,) = elements(step.form, texts, classes)
    assert element.loop == (
        "for padding_ in (padding, 3):",
        "    layers += [nn.Conv3d(4, 4, 3, padding=padding_), nn.Conv3d(4, 4, 3, padding=padding)]",
    )


def test_a_sum_as_a_step_is_in_brackets(chain: Callable[..., list[Step]]) -> None:
    parts = chain(*(PADDED.format(a, 0) for a in (1, 4, 7)))
    step = repeat_of([block_of([part]) for part in parts])
    classes = classes_of(step)
    texts = texts_of(step, classes)
    assert texts[:3] == ["3", "1", "3"]
    texts[2] = "a + b"
    assert elements(step.form, texts, classes) == [
        Element("*(nn.Conv3d(1 + (a + b) * index, 4, 3) for index in range(3))")
    ]


def test_a_repetition_of_several_modules_is_a_loop(chain: Callable[..., list[Step]]) -> None:
    conv = "nn.Conv3d({}, 4, 3)"
    parts = chain(conv.format(1), RELU, conv.format(4), RELU)
    step = repeat_of([block_of(parts[:2]), block_of(parts[2:])])
    classes = classes_of(step)
    texts = ["2", "in_channels", "4", *texts_of(step, classes)[3:]]
    (element,) = elements(step.form, texts, classes)
    assert element == Element(
        loop=(
            "for inputs in (in_channels, 4):",
            "    layers += [nn.Conv3d(inputs, 4, 3), nn.ReLU()]",
        )
    )
    texts[0] = "depth"
    (element,) = elements(step.form, texts, classes)
    assert element.loop[0] == "for index in range(depth):"
    assert element.loop[1:] == (
        "    layers += [nn.Conv3d(in_channels if index == 0 else 4, 4, 3), nn.ReLU()]",
    )


LOOP = Element(loop=("for _ in range(2):", "    layers += [a(), b()]"))


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        ([Element("a()"), Element("*(b() for _ in range(2))")],
         ["    m = nn.Sequential(a(), *(b() for _ in range(2)))"]),
        ([LOOP], ["    layers: list[nn.Module] = []", "    for _ in range(2):",
                  "        layers += [a(), b()]", "    m = nn.Sequential(*layers)"]),
        ([Element("c()"), LOOP, Element("d()")],
         ["    layers: list[nn.Module] = [c()]", "    for _ in range(2):",
          "        layers += [a(), b()]", "    layers.append(d())",
          "    m = nn.Sequential(*layers)"]),
    ],
    ids=["one call", "loop", "loop within"],
)  # fmt: skip
def test_how_sequences_are_written(found: list[Element], lines: list[str]) -> None:
    assert sequence_lines(found, "m = nn.Sequential(", ")", 4) == lines


def test_paths_are_those_of_the_modules(chain: Callable[..., list[Step]]) -> None:
    """A class with attributes, one that is a sequence, and modules in a row without a class."""
    conv = "nn.Conv3d(4, 4, 3)"
    parts = chain(conv, RELU, conv, RELU, conv, conv, RELU, "nn.MaxPool3d(2)", conv)
    double = repeat_of([block_of(parts[:2]), block_of(parts[2:4])])
    inline = block_of(parts[5:7])
    outer = block_of([double, parts[4], inline, *parts[7:]])
    classes = classes_of(outer, Outer=outer, Double=double)
    assert list(spliced(inline, classes)) == list(inline.parts)
    assert list(spliced(double, classes)) == [double]
    layouts = Layouts(classes)
    paths = list(layouts.paths(outer, ""))
    assert [path for path, _ in paths] == [
        "0.0", "0.1", "0.2", "0.3", "1", "2", "3", "4", "5",
    ]  # fmt: skip
    assert [layer for _, layer in paths] == outer.layers
    layouts.attributes[outer.form] = [("double", [0]), ("conv", [1]), ("rest", [2, 3, 4])]
    found: dict[str, Any] = dict(layouts.paths(outer, "net"))
    assert list(found) == [
        "net.double.0", "net.double.1", "net.double.2", "net.double.3", "net.conv",
        "net.rest.0", "net.rest.1", "net.rest.2", "net.rest.3",
    ]  # fmt: skip
    assert list(found.values()) == outer.layers
    assert [path for path, _ in layouts.held([inline], "tail")] == ["tail.0", "tail.1"]
