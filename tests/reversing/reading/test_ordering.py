"""The order of layers is the network's, and not the file's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.reversing.reading.layers import Layer
from volunet.reversing.reading.ordering import in_order


def names(layers: list[Layer]) -> list[str]:
    return [layer.output for layer in layers]


def test_depth_first_in_the_order_of_inputs(layer: Callable[..., Layer]) -> None:
    layers = [
        layer("{0}", "x", "left"),
        layer("{0}", "x", "right"),
        layer("{0}", "x", "unread"),
        layer("{0}", "right", "deeper"),
        layer("{0} + {1}", "deeper left", "joined"),
        layer("{0} + {1}", "joined right", "y"),
    ]
    assert names(in_order(layers, ["y"])) == ["right", "deeper", "left", "joined", "y"]
    assert names(in_order(layers, ["left", "y"])) == ["left", "right", "deeper", "joined", "y"]


def test_what_no_answer_needs_is_left_out(layer: Callable[..., Layer]) -> None:
    layers = [layer("{0}", "x", "a"), layer("{0}", "a", "b"), layer("{0}", "b", "c")]
    assert names(in_order(layers, ["b"])) == ["a", "b"]
    assert in_order(layers, ["x"]) == []


def test_a_deep_network_needs_no_deep_stack(layer: Callable[..., Layer]) -> None:
    layers = [layer("{0}", f"t{index}", f"t{index + 1}") for index in range(5000)]
    assert names(in_order(layers[::-1], ["t5000"])) == [f"t{index + 1}" for index in range(5000)]


READS = st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=3), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(READS, st.randoms(use_true_random=False), st.data())
def test_the_order_of_the_file_does_not_matter(
    layer: Callable[..., Layer], reads: list[list[int]], random: Any, data: Any
) -> None:
    layers = []
    for index, chosen in enumerate(reads):
        inputs = " ".join(f"t{number % (index + 1)}" for number in chosen)
        layers.append(layer("f({0})", inputs, f"t{index + 1}"))
    outputs = [f"t{data.draw(st.integers(0, len(reads)))}", f"t{len(reads)}"]
    order = in_order(layers, outputs)
    shuffled = list(layers)
    random.shuffle(shuffled)
    assert in_order(shuffled, outputs) == order
    made = {"t0"}
    for each in order:
        assert set(each.inputs) <= made
        assert each.output not in made
        made.add(each.output)
    needed = set(outputs)
    for each in reversed(layers):
        needed |= set(each.inputs) if each.output in needed else set()
    assert made == needed | {"t0"}
