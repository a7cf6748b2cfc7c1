"""A block's docstring says the sizes of what goes in and comes out, in all of its instances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from volunet.graph.sizes import Size, ceil_div, floor_div, symbol
from volunet.reversing.reading.layers import Layer
from volunet.reversing.structure.grammar import Step, block_of, step_of
from volunet.reversing.structure.scalars import Scalars
from volunet.reversing.writing.describing import describe
from volunet.reversing.writing.modules import Classes

N, D, H, W = (symbol(name) for name in "ndhw")


def half(size: Size) -> Size:
    return floor_div(size, 2)


@pytest.fixture
def told(layer: Callable[..., Layer]) -> Callable[..., str]:
    """The text of blocks of a convolution: shapes of inputs and answer of each."""

    def make(*instances: Sequence[Any], channels: Sequence[tuple[int, int]] = ((3, 3),)) -> str:
        steps: list[Step] = []
        shapes: dict[str, Any] = {}
        for index, given in enumerate(instances):
            a, b = channels[index % len(channels)]
            names = [f"{name}{index}" for name in ("x", "s", "o")[: len(given) - 1]]
            conv = layer(f"nn.Conv3d({a}, {b}, 3)", names[0], f"c{index}")
            reads = " ".join((conv.output, *names[1:]))
            places = " + ".join(f"{{{place}}}" for place in range(len(names)))
            last = layer(f"f({places})", reads, f"y{index}")
            steps.append(block_of([step_of(conv), step_of(last)]))
            shapes.update(zip((*names, last.output), given, strict=True))
        return describe(steps[0].form, Classes(Scalars(steps)), shapes)

    return make


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ((N, 3, D, H, W), (N, 3, D, H, W),
         "x (N, in_channels, D, H, W) → (N, in_channels, D, H, W)"),
        ((N, 3, D, H, W), (N, 5, half(D), half(H), half(W)),
         "x (N, in_channels, D, H, W) → (N, 5, ⌊D/2⌋, ⌊H/2⌋, ⌊W/2⌋)"),
        ((N, 3, H, W), (N, 3, ceil_div(H, 4), W),
         "x (N, in_channels, H, W) → (N, in_channels, ⌈H/4⌉, W)"),
        ((N, 3, W), (N, 3, W * 2), "x (N, in_channels, L) → (N, in_channels, 2·L)"),
        ((N, 3, H), (N, 3, H * 3), "x (N, in_channels, L) → (N, in_channels, 3·L)"),
        ((N, 3, H, W), (N, 3, 1, 1), "x (N, in_channels, H, W) → (N, in_channels, 1, 1)"),
        ((N, 3, H, W), (N, 3, 7, H - 1), "x (N, in_channels, H, W) → (N, in_channels, 7, W′)"),
        ((N, 3, D, H, W, D), (N, 3, D, H, W, D),
         "x (N, in_channels, S2, S3, S4, S5) → (N, in_channels, S2, S3, S4, S5)"),
        ((N, 3), (N,), "x (N, in_channels) → (N)"),
        ((N, 3, H), None, "x (N, in_channels, L) → (…)"),
        (None, (N, 3, H), "x → the answer"),
    ],
    ids=["same", "half", "up", "twice", "three times", "one", "others", "many axes", "few axes",
         "unknown answer", "unknown input"],
)  # fmt: skip
def test_sizes_by_the_inputs(before: Any, after: Any, text: str, told: Callable[..., str]) -> None:
    assert told((before, after)) == text


@pytest.mark.parametrize(
    ("instances", "channels", "text"),
    [
        ([((N, 3, H), (N, 5, H)), ((N, 4, W), (N, 6, W))], ((3, 5), (4, 6)),
         "x (N, in_channels, L) → (N, out_channels, L)"),
        ([((N, 3, H), (N, 5, half(H))), ((N, 3, H), (N, 5, H))], ((3, 5),),
         "x (N, 3, L) → (N, 5, L′)"),
        ([((N, 3, H), (N, 5, H)), ((N, 4, H), (N, 9, H))], ((3, 7), (4, 8)),
         "x (N, in_channels, L) → (N, C, L)"),
        ([((N, 3, H), (N, 3, H)), ((N, 3, H), (N, 3))], ((3, 3),), "x (N, 3, L) → (…)"),
        ([((N, 3, H), (N, 3, 7)), ((N, 3, H), (N, 3, 8))], ((3, 3),), "x (N, 3, L) → (N, 3, L′)"),
    ],
    ids=["arguments", "other sizes", "no argument", "other axes", "other numbers"],
)  # fmt: skip
def test_sizes_of_all_instances(
    instances: Any, channels: Any, text: str, told: Callable[..., str]
) -> None:
    assert told(*instances, channels=channels) == text


def test_several_inputs(told: Callable[..., str]) -> None:
    x, skip, wide = (N, 3, half(H)), (N, 7, H), (N, 3, D, H, W)
    assert told((x, skip, skip)) == "x (N, in_channels, L), skip (N, 7, L′) → (N, 7, L′)"
    assert told((wide, wide, wide)) == (
        "x (N, in_channels, D, H, W) and skip → (N, in_channels, D, H, W)"
    )
    assert told((wide, wide, wide, wide)) == (
        "x (N, in_channels, D, H, W) and skip and other → (N, in_channels, D, H, W)"
    )


def test_one_input_is_told_however_long(told: Callable[..., str]) -> None:
    five = (N, 3, D, H, W, D, H)
    sizes = "(N, in_channels, S2, S3, S4, S5, S6)"
    assert told((five, five)) == f"x {sizes} → {sizes}"
    assert told((five, five, five)) == f"x {sizes} and skip → {sizes}"


def test_a_chain_of_one_step(chain: Callable[..., list[Step]]) -> None:
    step = block_of(chain("nn.Conv3d(1, 4, 3)"))
    shapes = {"x": (N, 1, D, H, W), "t0": (N, 4, D, H, W)}
    assert describe(step.form, Classes(Scalars([step])), shapes) == (
        "x (N, in_channels, D, H, W) → (N, out_channels, D, H, W)"
    )
