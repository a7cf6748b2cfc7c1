"""The class of a block is Python that makes its layers with each instance's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.graph.sizes import symbol
from volunet.reversing.reading.layers import Layer, module_pieces
from volunet.reversing.structure.grammar import Step, all_steps, block_of, repeat_of, step_of
from volunet.reversing.structure.scalars import ANY, Scalars
from volunet.reversing.writing.block_class import block_lines, layer_template, method_lines
from volunet.reversing.writing.modules import Classes, Layouts

CONV, RELU, UP = "nn.Conv3d({}, {}, 3, padding=1)", "F.relu({0})", "nn.ConvTranspose3d({}, {}, 2)"

Shapes = dict[str, Any]


@pytest.fixture
def write(layer: Callable[..., Layer]) -> Callable[..., list[str]]:
    """The class of blocks of layers: each a text, what it reads and what it makes."""

    def make(*instances: list[tuple[str, str, str]], name: str = "Block") -> list[str]:
        steps = [block_of([step_of(layer(*each)) for each in layers]) for layers in instances]
        classes = Classes(Scalars(steps), {steps[0].form: name})
        names = {text for step in all_steps(steps) for text in (*step.inputs, step.output)}
        shape = (symbol("n"), 4, symbol("d"), symbol("h"), symbol("w"))
        return block_lines(steps[0].form, classes, Layouts(classes), dict.fromkeys(names, shape))

    return make


def test_modules_in_a_row_are_a_sequence(write: Any) -> None:
    instances = [[(CONV.format(a, b), "x", "t"), (RELU, "t", "y")] for a, b in ((1, 4), (4, 8))]
    assert write(*instances) == [
        "class Block(nn.Sequential):",
        '    """x (N, 4, D, H, W) → (N, 4, D, H, W)."""',
        "",
        "    def __init__(self, in_channels: int, out_channels: int) -> None:",
        "        super().__init__(nn.Conv3d(in_channels, out_channels, 3, padding=1), nn.ReLU())",
    ]


def test_a_residual_block(write: Any) -> None:
    def layers(channels: int) -> list[tuple[str, str, str]]:
        conv = CONV.format(channels, channels)
        return [(conv, "x", "a"), (RELU, "a", "b"), (conv, "b", "c"), ("{0} + {1}", "c x", "d"),
                (RELU, "d", "y")]  # fmt: skip

    assert write(layers(4), layers(8))[2:] == [
        "",
        "    def __init__(self, in_channels: int) -> None:",
        "        super().__init__()",
        "        self.convs = nn.Sequential(",
        "            nn.Conv3d(in_channels, in_channels, 3, padding=1),",
        "            nn.ReLU(),",
        "            nn.Conv3d(in_channels, in_channels, 3, padding=1),",
        "        )",
        "",
        "    def forward(self, x: Tensor) -> Tensor:",
        "        return F.relu(self.convs(x) + x)",
    ]


def test_a_block_with_a_skip(write: Any) -> None:
    def layers(a: int, b: int) -> list[tuple[str, str, str]]:
        return [(UP.format(a, b), "x", "u"), ("torch.cat([{0}, {1}], dim=1)", "skip u", "j"),
                (CONV.format(2 * b, b), "j", "y")]  # fmt: skip

    assert write(layers(8, 4), layers(6, 5))[2:] == [
        "",
        "    def __init__(self, in_channels: int, out_channels: int) -> None:",
        "        super().__init__()",
        "        self.up = nn.ConvTranspose3d(in_channels, out_channels, 2)",
        "        self.conv = nn.Conv3d(2 * out_channels, out_channels, 3, padding=1)",
        "",
        "    def forward(self, x: Tensor, skip: Tensor) -> Tensor:",
        "        return self.conv(torch.cat([skip, self.up(x)], dim=1))",
    ]


def test_numbers_of_a_call_that_differ_are_kept(write: Any) -> None:
    instances = [
        [("F.pad({0}, [1, 2])", "x", "a"), ("{0} * 0.5 + {1}", "a b", "c"),
         (f"{{0}} - {k}", "c", "y")]
        for k in (3, 4)
    ]  # fmt: skip
    assert write(*instances)[2:] == [
        "",
        "    def __init__(self, number: int) -> None:",
        "        super().__init__()",
        "        self.number = number",
        "",
        "    def forward(self, x: Tensor, skip: Tensor) -> Tensor:",
        "        return (F.pad(x, [1, 2]) * 0.5 + skip) - self.number",
    ]


def test_the_ends_of_a_block_that_is_there_once_are_arguments(write: Any) -> None:
    assert write([(CONV.format(1, 4), "x", "a"), ("{0} * {1}", "a b", "y")])[4:6] == [
        "        super().__init__()",
        "        self.conv = nn.Conv3d(in_channels, out_channels, 3, padding=1)",
    ]


@pytest.mark.parametrize(
    ("text", "slots", "template", "needs"),
    [
        (RELU, [], "F.relu({0})", False),
        ("F.leaky_relu({0}, 0.1)", ["a"], "F.leaky_relu({0}, a)", False),
        ("nn.ReLU()", [], "{module}({0})", True),
        ("{0} * 2", ["k"], "{0} * k", False),
        (f"torch.cat([{', '.join(f'{{{i}}}' for i in range(12))}], dim=1)", ["1"],
         f"torch.cat([{', '.join(f'{{{i}}}' for i in range(12))}], dim=1)", False),
    ],
    ids=["function", "slot", "module", "number", "more than ten inputs"],
)  # fmt: skip
def test_expressions_of_layers(
    text: str, slots: list[str], template: str, needs: bool, layer: Callable[..., Layer]
) -> None:
    assert layer_template(layer(text, "x", "y").form, slots) == (template, needs)


@pytest.mark.parametrize(
    ("statement", "lines"),
    [
        ("return f(x)", ["        return f(x)"]),
        (f"x = f({'a' * 45}, {'b' * 44})",
         ["        x = f(", f"            {'a' * 45},", f"            {'b' * 44},", "        )"]),
        (f"x = f({'a' * 40}).g({'b' * 40}, 1)",
         [f"        x = f({'a' * 40}).g(", f"            {'b' * 40}, 1", "        )"]),
        (f"x = {'a' * 50} * ({'b' * 50})", [f"        x = {'a' * 50} * ({'b' * 50})"]),
        (f"    x = f({'a' * 45}, {'b' * 39})",
         ["            x = f(", f"                {'a' * 45},", f"                {'b' * 39},",
          "            )"]),
    ],
    ids=["short", "call", "behind a call", "no call", "in a loop"],
)  # fmt: skip
def test_statements_that_are_too_long(statement: str, lines: list[str]) -> None:
    found = method_lines([statement])
    if statement.startswith("x = f(a") and "g(" not in statement:
        joined = f"            {'a' * 45}, {'b' * 44}"
        assert len(joined) > 100 or found == ["        x = f(", joined, "        )"]
    assert "".join(line.strip() for line in found).replace(",)", ")").replace(" ", "") == (
        statement.replace(" ", "")
    )
    assert found[0] == lines[0]
    assert all(len(line) <= 100 for line in found) or lines == found


def test_a_layer_is_no_block(layer: Callable[..., Layer]) -> None:
    step = step_of(layer("F.relu({0})", "x", "y"))
    classes = Classes(Scalars([step]), {step.form: "Relu"})
    with pytest.raises(TypeError, match=r"^LayerForm\(module='nn.ReLU'.* is no block$"):
        block_lines(step.form, classes, Layouts(classes), {})


class Sequential:
    """Stands for ``nn.Sequential``: what it holds, as the constructors' texts."""

    def __init__(self, *modules: Any) -> None:
        self.modules = [text for module in modules for text in flat(module)]


def flat(module: Any) -> list[str]:
    return module.modules if isinstance(module, Sequential) else [module]


class Recorder:
    """Stands for ``nn``: its modules are texts of their calls."""

    Sequential = Sequential

    def __getattr__(self, name: str) -> Callable[..., str]:
        def made(*given: Any, **keys: Any) -> str:
            texts = [*map(repr, given), *(f"{key}={value!r}" for key, value in keys.items())]
            return f"nn.{name}({', '.join(texts)})"

        return made


def built(lines: Sequence[str], *arguments: Any) -> list[str]:
    space: dict[str, Any] = {"nn": Recorder(), "Tensor": SimpleNamespace}
    exec("\n".join(lines), space)  # noqa: S102 - our own text
    made = space["Block"](*arguments)
    assert isinstance(made, Sequential)
    return made.modules


SIZES = st.tuples(*[st.integers(1, 4)] * 3)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.lists(SIZES, min_size=1, max_size=5), min_size=1, max_size=3), st.booleans())
def test_a_class_makes_each_instances_layers(
    chain: Callable[..., list[Step]], instances: list[list[tuple[int, int, int]]], is_double: bool
) -> None:
    """Blocks of a convolution, a run of convolutions (with or without a ReLU), and another one."""
    steps = []
    for number, sizes in enumerate(instances):
        (a, b, k), *_ = sizes
        run = [f"nn.Conv3d({i}, {o}, 3, padding={p})" for i, o, p in sizes]
        texts = [t for text in run for t in ([text, RELU] if is_double else [text])]
        parts = chain(
            f"nn.Conv1d({a}, {b}, {k})", *texts, f"nn.Linear({b}, {a})", start=f"x{number}"
        )
        size = 2 if is_double else 1
        inner = parts[1:-1]
        blocks = [block_of(inner[i : i + size]) for i in range(0, len(inner), size)]
        steps.append(block_of([parts[0], repeat_of(blocks), parts[-1]]))
    classes = Classes(Scalars(steps), {steps[0].form: "Block"})
    lines = block_lines(steps[0].form, classes, Layouts(classes), {})
    for step in steps:
        scalars = [1 if value is ANY else value for value in classes.scalars.of(step)]
        given_values = [scalars[p.index] for p in classes.parameters(step.form).arguments]
        made = built(lines, *given_values)
        assert [tuple(module_pieces(text)[1].values()) for text in made] == [
            layer.slots for layer in step.layers
        ]
        assert [text.split("(")[0] for text in made] == [layer.form.module for layer in step.layers]
