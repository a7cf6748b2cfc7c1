"""What repeats becomes blocks and repetitions, and all layers stay where they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.reversing.reading.layers import Layer
from volunet.reversing.structure.blocks import find_blocks, sites, without_small
from volunet.reversing.structure.grammar import (
    BlockForm,
    Form,
    RepeatForm,
    Step,
    all_steps,
    block_of,
    repeat_of,
    step_of,
)

CONV, NORM, RELU = "nn.Conv3d({}, {}, {})", "nn.BatchNorm3d({})", "F.relu({0})"
POOL, UP = "nn.MaxPool3d(2)", "nn.ConvTranspose3d({}, {}, 2)"
CAT = "torch.cat([{0}, {1}], dim=1)"

SHORT = {"Conv3d": "c", "BatchNorm3d": "n", "ReLU": "r", "MaxPool3d": "p", "ConvTranspose3d": "u",
         "AdaptiveAvgPool3d": "g", "Linear": "l"}  # fmt: skip


def conv(a: int, b: int, kernel: int = 3) -> list[str]:
    """A convolution with its norm and its activation."""
    return [CONV.format(a, b, kernel), NORM.format(b), RELU]


def told(steps: Sequence[Step]) -> str:
    """Steps as letters, blocks in brackets, repetitions with their number of times."""
    texts = []
    for step in steps:
        if isinstance(step.form, BlockForm):
            texts.append(f"({told(step.parts)})")
        elif isinstance(step.form, RepeatForm):
            texts.append(f"{len(step.parts)}{told(step.parts[:1])}")
        else:
            assert step.layer is not None
            module = step.layer.form.module.removeprefix("nn.")
            joins = {"{0} + {1}": "+", CAT.replace("1)", "{=0})"): "j"}
            texts.append(SHORT.get(module) or joins.get(step.layer.form.call, "f"))
    return "".join(texts)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (conv(1, 4), "cnr"),
        ([*conv(1, 4), *conv(4, 4)], "cnrcnr"),
        ([*conv(1, 4), *conv(4, 4), *conv(4, 4)], "3(cnr)"),
        ([*conv(1, 4), POOL, *conv(4, 8), POOL, *conv(8, 16)], "(cnr)2(p(cnr))"),
        ([*conv(1, 4), *conv(4, 4), POOL, *conv(4, 8), *conv(8, 8), POOL, *conv(8, 16),
          *conv(16, 16)], "2(cnr)2(p2(cnr))"),
        ([*conv(1, 4), "nn.Linear(4, 5)"], "cnrl"),
    ],
    ids=["one", "two", "three", "levels", "levels of two", "once"],
)  # fmt: skip
def test_what_repeats_in_a_chain(
    texts: list[str], found: str, chain: Callable[..., list[Step]]
) -> None:
    steps = chain(*texts)
    assert told(find_blocks(steps, [steps[-1].output])) == found


@pytest.fixture(scope="session")
def network(layer: Callable[..., Layer]) -> Callable[..., list[Step]]:
    """Make the steps of a network from lines: a text, what it reads and what it makes."""

    def make(*lines: tuple[str, str, str]) -> list[Step]:
        return [step_of(layer(*line)) for line in lines]

    return make


def unet(levels: int) -> list[tuple[str, str, str]]:
    lines = [(CONV.format(1, 4, 3), "x", "c0"), (RELU, "c0", "d0")]
    for level in range(levels):
        width = 4 << level
        lines += [
            (POOL, f"d{level}", f"p{level}"),
            (CONV.format(width, 2 * width, 3), f"p{level}", f"c{level + 1}"),
            (RELU, f"c{level + 1}", f"d{level + 1}"),
        ]
    last = f"d{levels}"
    for level in reversed(range(levels)):
        width = 4 << level
        lines += [
            (UP.format(2 * width, width), last, f"u{level}"),
            (CAT, f"d{level} u{level}", f"j{level}"),
            (CONV.format(2 * width, width, 3), f"j{level}", f"e{level}"),
            (RELU, f"e{level}", f"f{level}"),
        ]
        last = f"f{level}"
    return [*lines, (CONV.format(4, 2, 1), last, "y")]


def test_a_unet_is_its_levels(network: Callable[..., list[Step]]) -> None:
    steps = network(*unet(3))
    found = find_blocks(steps, ["y"])
    assert told(found) == "cr(pcr)(pcr)(pcr)(ujcr)(ujcr)(ujcr)c"
    assert [layer for step in found for layer in step.layers] == [
        layer for step in steps for layer in step.layers
    ]


def test_a_residual_block_is_one(network: Callable[..., list[Step]]) -> None:
    lines = []
    for index in range(3):
        x = f"y{index - 1}" if index else "x"
        lines += [(CONV.format(4, 4, 3), x, f"a{index}"), (RELU, f"a{index}", f"b{index}"),
                  (CONV.format(4, 4, 3), f"b{index}", f"c{index}"),
                  ("{0} + {1}", f"c{index} {x}", f"d{index}"),
                  (RELU, f"d{index}", f"y{index}")]  # fmt: skip
    assert told(find_blocks(network(*lines), ["y2"])) == "3(crc+r)"


def test_an_answer_within_ends_a_block(chain: Callable[..., list[Step]]) -> None:
    steps = chain(*(conv(4, 4) * 3))
    assert told(find_blocks(steps, ["t8"])) == "3(cnr)"
    assert told(find_blocks(steps, ["t2", "t8"])) == "1(cnr)2(cnr)"
    assert told(find_blocks(steps, ["t1", "t8"])) == "cnrcnrcnr"


def test_a_norm_stays_with_its_convolution(chain: Callable[..., list[Step]]) -> None:
    """Not ``norm, relu, convolution`` four times, though that would be found from the second on."""
    texts = [text for _ in range(4) for text in (CONV.format(4, 4, 3), NORM.format(4), RELU)]
    assert told(find_blocks(chain(*texts), ["t11"])) == "4(cnr)"


def test_other_kernels_are_no_repetition(chain: Callable[..., list[Step]]) -> None:
    steps = chain(*conv(4, 4, 3), *conv(4, 4, 3), *conv(4, 4, 1), *conv(4, 4, 1))
    assert told(find_blocks(steps, ["t11"])) == "2(cnr)2(cnr)"


LINES = st.lists(
    st.tuples(
        st.sampled_from([*conv(4, 4), *conv(4, 4, 1), NORM.format(4), POOL, "{0} + {1}", CAT]),
        st.integers(0, 2),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(LINES, st.integers(1, 4), st.lists(st.integers(0, 99), max_size=2))
def test_layers_stay_as_they_are_and_in_order(
    network: Callable[..., list[Step]],
    drawn: list[tuple[str, int, int]],
    times: int,
    answers: list[int],
) -> None:
    """Of a stretch several times over, each layer reading one of the last few values."""
    names, lines = ["x"], []
    for number, (text, first, second) in enumerate(drawn * times):
        reads = [names[-1 - min(place, len(names) - 1)] for place in (first // 2, second)]
        lines.append((text, " ".join(reads if "{1}" in text else reads[:1]), f"t{number}"))
        names.append(f"t{number}")
    outputs = [names[-1], *(names[1 + place % (len(names) - 1)] for place in answers)]
    steps = network(*lines)
    found = find_blocks(steps, outputs)
    assert [layer for step in found for layer in step.layers] == [step.layer for step in steps]
    for step in all_steps(found):
        made = [part.output for part in step.parts]
        assert step.output == step.last.output
        if isinstance(step.form, BlockForm):
            assert block_of(step.parts, is_head=step.form.is_head) == step
        if isinstance(step.form, RepeatForm):
            assert {part.form for part in step.parts} == {step.form.body}
            chained = zip(made, step.parts[1:], strict=False)
            assert all(after.inputs == (before,) for before, after in chained)
        for name in made[:-1]:  # only the last value of a block is read outside
            assert name not in outputs
            readers = [line for line in steps if name in line.inputs]
            assert {reader.output for reader in readers} <= {x.output for x in step.layers}


def test_how_often_a_form_is_made(chain: Callable[..., list[Step]]) -> None:
    texts = [*conv(1, 4), *conv(4, 4)]
    first = chain(*texts)
    double = repeat_of([block_of(first[:3]), block_of(first[3:])])
    (pool, *rest) = chain(POOL, *texts, start="t5", name="u")
    again = repeat_of([block_of(rest[:3]), block_of(rest[3:])])
    level = block_of([pool, again])
    count = sites([double, level])
    expected: dict[Form, int] = {
        double.form: 2, first[0].form: 1, first[1].form: 1, first[2].form: 1, level.form: 1,
        block_of(first[:3]).form: 1, pool.form: 1,
    }  # fmt: skip
    assert count == expected


def test_short_chains_that_stand_alone_once_are_opened(chain: Callable[..., list[Step]]) -> None:
    first = chain(*conv(4, 4), *conv(4, 4))
    double = repeat_of([block_of(first[:3]), block_of(first[3:])])
    tail = block_of(chain(*conv(4, 4), start="t5", name="u"))
    assert told(without_small([double, tail])) == "2(cnr)cnr"
    other = block_of(chain(*conv(4, 4), start="u2", name="v"))
    assert told(without_small([double, tail, other])) == "2(cnr)(cnr)(cnr)"
    assert told(without_small([tail])) == "(cnr)"
