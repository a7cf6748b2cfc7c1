"""The network's class: loops over lists of features, and what they compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.reversing.reading.layers import Layer
from volunet.reversing.structure.grammar import Form, Step, block_of, step_of
from volunet.reversing.structure.scalars import Scalars
from volunet.reversing.writing.forward import statements
from volunet.reversing.writing.modules import Classes, Layouts
from volunet.reversing.writing.network_class import NetworkClass

CAT = "torch.cat([{0}, {1}], dim=1)"


def unet(make: Callable[..., Layer], features: Sequence[int], answers: int = 2) -> list[Step]:
    """A U-Net of blocks without norms, from ``x``, whose last layer is a convolution."""
    steps = [step_of(make(f"nn.Conv3d(1, {features[0]}, 3, padding=1)", "x", "enter"))]
    skips = []
    for index, (a, b) in enumerate(pairwise(features)):
        before = steps[-1].output
        skips.append(before)
        pool = make("nn.MaxPool3d(2)", before, f"pool{index}")
        conv = make(f"nn.Conv3d({a}, {b}, 3, padding=1)", pool.output, f"down{index}")
        steps.append(block_of([step_of(pool), step_of(conv)]))
    backwards = list(features[::-1])
    for index, (a, b) in enumerate(pairwise(backwards)):
        up = make(f"nn.ConvTranspose3d({a}, {b}, 2, stride=2)", steps[-1].output, f"up{index}")
        cat = make(CAT, f"{skips.pop()} {up.output}", f"cat{index}")
        conv = make(f"nn.Conv3d({2 * b}, {b}, 3, padding=1)", cat.output, f"conv{index}")
        steps.append(block_of([step_of(part) for part in (up, cat, conv)]))
    head = make(f"nn.Conv3d({features[0]}, {answers}, 1)", steps[-1].output, "y")
    return [*steps, step_of(head)]


def classes_of(steps: Sequence[Step], names: Sequence[str] = ("Down", "Up")) -> Classes:
    forms = list(dict.fromkeys(step.form for step in steps if step.parts))
    return Classes(Scalars(steps), dict(zip(forms, names, strict=True)))


def forward(network: NetworkClass, outputs: Sequence[str] = ("y",)) -> list[str]:
    return statements(network.operations(), {"x": "x"}, outputs)


def test_a_unet_is_two_loops_over_its_features(layer: Callable[..., Layer]) -> None:
    steps = unet(layer, (4, 8, 16))
    classes = classes_of(steps)
    network = NetworkClass(steps, ["y"], classes)
    assert (network.name, network.features) == ("UNet", [4, 8, 16])
    assert network.ends == {"in_channels": (steps[0], 0), "out_channels": (steps[-1], 1)}
    layouts = Layouts(classes)
    assert network.constructor_lines(layouts) == [
        "        self.conv = nn.Conv3d(in_channels, features[0], 3, padding=1)",
        "        self.downs = nn.ModuleList([Down(i, o) for i, o in pairwise(features)])",
        "        self.ups = nn.ModuleList([Up(i, o) for i, o in pairwise(features[::-1])])",
        "        self.conv2 = nn.Conv3d(features[0], out_channels, 1)",
    ]
    assert forward(network) == [
        "x = self.conv(x)",
        "skips: list[Tensor] = []",
        "for down in self.downs:",
        "    skips.append(x)",
        "    x = down(x)",
        "for up in self.ups:",
        "    x = up(x, skips.pop())",
        "return self.conv2(x)",
    ]
    up = next(form for form, name in classes.names.items() if name == "Up")
    layouts.attributes[up] = [("up", [0]), ("conv", [2])]
    assert [(path, each.output) for path, each in network.paths(layouts)] == [
        ("conv", "enter"), ("downs.0.0", "pool0"), ("downs.0.1", "down0"), ("downs.1.0", "pool1"),
        ("downs.1.1", "down1"), ("ups.0.up", "up0"), ("ups.0.conv", "conv0"), ("ups.1.up", "up1"),
        ("ups.1.conv", "conv1"), ("conv2", "y"),
    ]  # fmt: skip


def test_blocks_that_hand_on_one_value_are_a_sequence(layer: Callable[..., Layer]) -> None:
    steps: list[Step] = []
    for index, (a, b, k) in enumerate([(4, 8, 3), (8, 6, 5), (6, 6, 3)]):
        conv = layer(f"nn.Conv3d({a}, {b}, {k})", steps[-1].output if steps else "x", f"c{index}")
        steps.append(
            block_of([step_of(conv), step_of(layer("F.relu({0})", f"c{index}", f"r{index}"))])
        )
    classes = classes_of(steps, ["Block"])
    network = NetworkClass(steps, ["r2"], classes)
    assert (network.name, network.features, network.ends) == ("Network", [4, 8, 6, 6], {})
    assert network.constructor_lines(Layouts(classes)) == [
        "        self.blocks = nn.Sequential(",
        "            *[",
        "                Block(i, o, kernel_size)",
        "                for (i, o), kernel_size in "
        "zip(pairwise(features), (3, 5, 3), strict=True)",
        "            ]",
        "        )",
    ]
    assert forward(network, ["r2"]) == ["return self.blocks(x)"]


def test_single_steps_and_calls(layer: Callable[..., Layer]) -> None:
    made = [
        ("nn.Conv3d(1, 4, 3)", "x", "a"), ("F.relu({0})", "a", "b"), ("{0} + {1}", "b a", "c"),
        ("nn.GroupNorm(2, 4)", "c", "d"), ("F.pad({0}, [1, 2])", "d", "y"),
    ]  # fmt: skip
    steps = [step_of(layer(*each)) for each in made]
    classes = classes_of(steps, [])
    network = NetworkClass(steps, ["y"], classes)
    assert [(item.kind, item.name) for item in network.items] == [
        ("chain", "conv"), ("chain", ""), ("single", ""), ("chain", "norm"), ("single", ""),
    ]  # fmt: skip
    assert network.constructor_lines(Layouts(classes)) == [
        "        self.conv = nn.Conv3d(in_channels, out_channels, 3)",
        "        self.norm = nn.GroupNorm(2, 4)",
    ]
    assert forward(network) == [
        "x = self.conv(x)",
        "return F.pad(self.norm(F.relu(x) + x), [1, 2])",
    ]


def test_texts_are_arguments_features_or_numbers(layer: Callable[..., Layer]) -> None:
    steps = unet(layer, (4, 8, 16), answers=5)
    network = NetworkClass(steps, ["y"], classes_of(steps))
    assert network.texts(steps[0])[:3] == ["in_channels", "features[0]", "3"]
    assert network.texts(steps[-1])[:3] == ["features[0]", "out_channels", "1"]
    other = unet(layer, (4, 8, 16), answers=16)
    network = NetworkClass(other, ["y"], classes_of(other))
    assert network.texts(other[-1])[:2] == ["features[0]", "out_channels"]


class Fake:
    """A network whose blocks say what they were given."""

    def __init__(self, network: NetworkClass) -> None:
        for item in network.items:
            calls = [self._call(step) for step in item.steps]
            if not item.name:
                continue
            if item.kind == "loop" and not item.is_sequence:
                setattr(self, item.name, calls)
            else:
                setattr(self, item.name, self._chained(calls))

    def _call(self, step: Step) -> Callable[..., Any]:
        return lambda *values: (step.output, *values)

    def _chained(self, calls: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
        def chained(*values: Any) -> Any:
            answer = calls[0](*values)
            for call in calls[1:]:
                answer = call(answer)
            return answer

        return chained


STEP = st.tuples(
    st.sampled_from(["down", "down2", "up", "up2", "up"]),
    st.sampled_from(["stack", "stack", "stack", "any", "last"]),
    st.integers(0, 99),
    st.booleans(),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(STEP, min_size=1, max_size=14), st.integers(0, 13))
def test_the_class_computes_what_the_steps_do(
    layer: Callable[..., Layer], drawn: list[tuple[str, str, int, bool]], answer: int
) -> None:
    """Levels down and up in any order, with skips from where one would expect them or not."""
    steps: list[Step] = []
    values, stack = ["x"], ["x"]
    for index, (kind, source, number, turned) in enumerate(drawn):
        before = values[-1] if source != "any" else values[number % len(values)]
        if kind.startswith("down"):
            calls = ["nn.MaxPool3d(2)", "F.relu({0})" if kind == "down" else "torch.tanh({0})"]
            first = layer(calls[0], before, f"m{index}")
            parts = [first, layer(calls[1], first.output, f"t{index}")]
            stack.append(before)
        else:
            other = stack.pop() if stack and source == "stack" else values[number % len(values)]
            pair = (other, before) if turned and kind == "up2" else (before, other)
            up = layer("{0} + {1}" if kind == "up" else "{0} - {1}", " ".join(pair), f"m{index}")
            parts = [up, layer("F.relu({0})", up.output, f"t{index}")]
        steps.append(block_of([step_of(part) for part in parts]))
        values.append(f"t{index}")
    outputs = list(dict.fromkeys([values[-1], values[1 + answer % (len(values) - 1)]]))
    forms: dict[Form, str] = {step.form: f"Block{len(step.inputs)}" for step in steps}
    classes = Classes(Scalars(steps), forms)
    network = NetworkClass(steps, outputs, classes)
    lines = "\n".join(f"    {line}" for line in forward(network, outputs))
    space: dict[str, Any] = {"Tensor": SimpleNamespace}
    exec(f"def forward(self, x):\n{lines}", space)  # noqa: S102 - our own text
    answers = space["forward"](Fake(network), "x")
    known: dict[str, Any] = {"x": "x"}
    for step in steps:
        known[step.output] = (step.output, *(known[name] for name in step.inputs))
    expected = [known[name] for name in outputs]
    assert (list(answers) if len(outputs) > 1 else [answers]) == expected


@pytest.mark.parametrize(
    ("widths", "line"),
    [
        ([(4, 8), (8, 16)], "Block(i, o) for i, o in pairwise(features)"),
        ([(4, 4), (4, 4)], "Block() for _ in range(2)"),
        ([(4, 8), (4, 16)], "Block(outputs) for outputs in (8, 16)"),
    ],
    ids=["chain", "alike", "no chain"],
)
def test_how_a_loop_goes_over_its_numbers(
    widths: list[tuple[int, int]], line: str, layer: Callable[..., Layer]
) -> None:
    steps: list[Step] = []
    for index, (a, b) in enumerate(widths):
        conv = layer(f"nn.Conv3d({a}, {b}, 3)", steps[-1].output if steps else "x", f"c{index}")
        steps.append(
            block_of([step_of(conv), step_of(layer("F.relu({0})", f"c{index}", f"r{index}"))])
        )
    classes = classes_of(steps, ["Block"])
    network = NetworkClass(steps, [steps[-1].output], classes)
    (made,) = network.constructor_lines(Layouts(classes))
    assert made == f"        self.blocks = nn.Sequential(*[{line}])"
