"""Loops over blocks, and the lists that carry skips from one loop to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from volunet.reversing.reading.layers import Layer
from volunet.reversing.structure.grammar import Form, Step, block_of, step_of
from volunet.reversing.structure.scalars import Scalars
from volunet.reversing.writing.modules import Classes
from volunet.reversing.writing.network_items import Item, find_items

POOL, CONV, UP, CAT = (
    "nn.MaxPool3d(2)", "nn.Conv3d(4, 4, 3)", "nn.ConvTranspose3d(4, 4, 2)",
    "torch.cat([{0}, {1}], dim=1)",
)  # fmt: skip

KINDS: dict[str, list[tuple[str, str]]] = {
    "Down": [(POOL, "0"), (CONV, "a")],
    "Strided": [(CONV, "0"), (CONV, "a")],
    "Up": [(UP, "0"), (CAT, "1 a")],
    "Upper": [(UP, "0"), (CAT, "a 1")],
    "Three": [(CAT, "0 1"), (CAT, "a 2")],
}
"""Blocks: each layer and what it reads, an input by number or the layer before as ``a``."""


@pytest.fixture(scope="session")
def network(layer: Callable[..., Layer]) -> Callable[..., tuple[list[Step], Classes]]:
    """Make steps of blocks, and of layers, from lines such as ``y = Up x skip``."""

    def make(text: str) -> tuple[list[Step], Classes]:
        steps: list[Step] = []
        names: dict[Form, str] = {}
        for line in text.strip().splitlines():
            output, _, made = (part.strip() for part in line.partition("="))
            kind, *inputs = made.split()
            if kind not in KINDS:
                steps.append(step_of(layer(f"F.{kind}({{0}})", " ".join(inputs), output)))
                continue
            parts = []
            for number, (call, reads) in enumerate(KINDS[kind]):
                places = [f"{output}{number - 1}" if r == "a" else inputs[int(r)]
                          for r in reads.split()]  # fmt: skip
                last = number == len(KINDS[kind]) - 1
                name = output if last else f"{output}{number}"
                parts.append(step_of(layer(call, " ".join(places), name)))
            steps.append(block_of(parts))
            names[steps[-1].form] = kind
        return steps, Classes(Scalars(steps), names)

    return make


def told(items: Sequence[Item]) -> list[Any]:
    """Kind and steps of each item; of a loop also its list, and where it pops from."""
    found: list[Any] = []
    for item in items:
        outputs = " ".join(step.output for step in item.steps)
        if item.kind != "loop":
            found.append((item.kind, outputs))
            continue
        push = f"{item.pushes} {item.stack}".strip()
        pops = "" if item.source is None else f"{item.pops} {item.source.stack}"
        found.append((item.kind, outputs, push, pops))
    return found


UNET = """
a = relu x
d = Down a
e = Down d
f = Up e d
g = Up f a
y = relu g
"""

NESTED = """
d = Down x
e = Down d
f = Strided e
g = Strided f
h = Upper g f
i = Upper h e
j = Up i d
y = Up j x
"""


@pytest.mark.parametrize(
    ("text", "items"),
    [
        (UNET, [("chain", "a"), ("loop", "d e", "before skips", ""),
                ("loop", "f g", "", "1 skips"), ("chain", "y")]),
        (NESTED, [("loop", "d e", "before skips", ""), ("loop", "f g", "before skips2", ""),
                  ("loop", "h i", "", "1 skips2"), ("loop", "j y", "", "1 skips")]),
        ("d = Down x\ne = Down d\nf = Up x e\ny = Up f d",
         [("loop", "d e", "after skips", ""), ("loop", "f y", "", "1 skips")]),
        ("d = Down x\ne = Down d\nf = Down e\ny = relu f",
         [("loop", "d e f", "", ""), ("chain", "y")]),
        ("d = Down x\ne = Down d\ny = Up e d",
         [("single", "d"), ("single", "e"), ("single", "y")]),
        ("f = Up x b\ny = Up f b", [("loop", "f y", "", "")]),
        ("f = Up x b\ny = Up f c", [("single", "f"), ("single", "y")]),
        ("f = Up x b\ny = Up c f", [("single", "f"), ("single", "y")]),
        ("f = Three x b c\ny = Three f c b", [("single", "f"), ("single", "y")]),
        ("d = Down x\ne = Strided d", [("single", "d"), ("single", "e")]),
        ("a = relu x\nb = relu a\nc = relu b\ny = Up c b",
         [("chain", "a b"), ("chain", "c"), ("single", "y")]),
        ("d = Down x\ne = Down d\nf = Up e d\ng = Up f x\nh = Up e d\ny = Up h x",
         [("single", name) for name in "defghy"]),
    ],
    ids=["U-Net", "nested", "answers", "sequence", "read elsewhere", "the same skip", "other skips",
         "another place", "two that vary", "two classes", "chains", "two decoders"],
)  # fmt: skip
def test_what_stands_together(text: str, items: Any, network: Any) -> None:
    steps, classes = network(text)
    found = find_items(steps, ["y"], classes)
    assert told(found) == items
    assert [step for item in found for step in item.steps] == steps


def test_an_answer_within_a_loop_opens_it(network: Any) -> None:
    steps, classes = network("d = Down x\ne = Down d\ny = Down e")
    assert told(find_items(steps, ["y"], classes)) == [("loop", "d e y", "", "")]
    assert told(find_items(steps, ["d", "y"], classes)) == [
        ("single", "d"),
        ("single", "e"),
        ("single", "y"),
    ]


def test_a_loop_that_hands_on_one_value_is_a_sequence(network: Any) -> None:
    steps, classes = network(UNET)
    items = find_items(steps, ["y"], classes)
    assert [item.is_sequence for item in items] == [False] * 4
    steps, classes = network("d = Down x\ny = Down d")
    (loop,) = find_items(steps, ["y"], classes)
    assert (loop.is_sequence, loop.carried) == (True, 0)
    steps, classes = network("f = Up x b\ny = Up f b")
    (loop,) = find_items(steps, ["y"], classes)
    assert (loop.is_sequence, loop.carried) == (False, 0)
    steps, classes = network("f = Up b x\ny = Up b f")
    (loop,) = find_items(steps, ["y"], classes)
    assert loop.carried == 1
