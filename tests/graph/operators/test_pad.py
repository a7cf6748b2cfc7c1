"""Padding as ONNX Runtime and PyTorch do it: four modes, and numbers below 0, which cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.graph.evaluation import evaluate
from volunet.graph.operators import OPERATORS

PAD = OPERATORS["Pad"]


@st.composite
def paddings(draw: Any) -> dict[str, Any]:
    """Sizes and padding, less than an axis is long where the input itself is read again."""
    axes = draw(st.integers(1, 3))
    sizes = [1, 2, *draw(st.lists(st.integers(1, 5), min_size=axes, max_size=axes))]
    mode = draw(st.sampled_from(["constant", "reflect", "edge", "wrap"]))
    begin, end = [], []
    for size in sizes:
        if mode == "constant":
            low = draw(st.integers(-(size - 1), 3))
            high = draw(st.integers(max(-(size - 1), -(size - 1) - low), 3))
        else:
            # Mirrored padding is less than the axis in every engine; the channels' is not padded.
            most = 0 if len(begin) < 2 else (3 if mode == "edge" else size - 1)
            low, high = draw(st.integers(0, most)), draw(st.integers(0, most))
        begin.append(low)
        end.append(high)
    return {"x": sizes, "mode": mode, "pads": begin + end}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(paddings())
def test_padding_is_that_of_onnx_runtime(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any,
    drawn: dict[str, Any],
) -> None:  # fmt: skip
    x = numbers(*drawn["x"])
    pads = np.array(drawn["pads"], np.int64)
    model = one("Pad", [x], [pads], opset=19, mode=drawn["mode"])
    check_sizes(model, ones=True)
    check_reads(model)
    known = drawn["mode"] != "edge" or all(
        p < d for p, d in zip(drawn["pads"], [*drawn["x"]] * 2, strict=True)
    )
    if known:
        check_source(model)
    else:
        assert PAD.source(model.node) is None


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [(-1, 2), (2, -1), (-2, 1)])
def test_mirrored_padding_may_cut_off_at_the_other_end(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, mode: str, pads: tuple[int, int]
) -> None:
    model = one("Pad", [numbers(1, 1, 6)], [np.array([0, 0, pads[0], 0, 0, pads[1]])], opset=19,
                mode=mode)  # fmt: skip
    check_sizes(model)
    check_reads(model)
    assert PAD.source(model.node) is None


@pytest.mark.parametrize("opset", [2, 10, 11, 13, 18])
@pytest.mark.parametrize("value", [0.0, 0.5, -2.25])
def test_every_version_takes_a_value(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, opset: int,
    value: float,
) -> None:  # fmt: skip
    pads = [0, 0, 1, 0, 0, 2]
    x = numbers(1, 2, 4)
    if opset < 11:
        model = one("Pad", [x], opset=opset, pads=pads, value=value)
    else:
        model = one("Pad", [x], [np.array(pads), np.float32(value)], opset=opset)
    check_sizes(model)
    check_reads(model)
    argument = f", value={value:g}" if value else ""
    assert check_source(model).call == f"F.pad({{0}}, [1, 2]{argument})"


def test_an_infinite_value_is_taken_over(one: Any, numbers: Any, check_source: Any) -> None:
    model = one("Pad", [numbers(1, 1, 3)], [np.array([0, 0, 1, 0, 0, 1]), np.float32(-np.inf)])
    assert check_source(model).call == "F.pad({0}, [1, 1], value={2}.item())"


def test_some_axes_alone_are_padded(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any
) -> None:
    constants = [np.array([1, 2, 3, 4]), None, np.array([-1, 2])]
    model = one("Pad", [numbers(1, 2, 4, 5)], constants)
    assert check_sizes(model) == [(1, 2, 10, 9)]
    check_reads(model)
    assert check_source(model).call == "F.pad({0}, [1, 3, 2, 4])"


def test_no_padding_is_no_call(one: Any, numbers: Any, check_source: Any, check_reads: Any) -> None:
    model = one("Pad", [numbers(1, 2, 4)], [np.array([0] * 6)])
    assert check_source(model).call == "{0}"
    check_reads(model)
    assert PAD.reads(model.node, 0, 2).span.locality == "pointwise"


def test_padding_to_a_multiple_is_a_formula(parsed: Any, numbers: Any) -> None:
    """As exporters write it: (−d) mod 4 slices behind."""
    model = parsed(
        """
        g (float[1,1,d] x) => (float[1,1,e] y) {
            shape = Shape <start = 2> (x)
            four = Constant <value_ints = [4]> ()
            minus = Neg (shape)
            rest = Mod (minus, four)
            front = Constant <value_ints = [0, 0, 0, 0, 0]> ()
            pads = Concat <axis = 0> (front, rest)
            y = Pad (x, pads)
        }
        """,
        x=numbers(1, 1, 9),
    )  # fmt: skip
    network, sizes = model.open()
    (y,) = network.outputs
    assert model.run()[0].shape == (1, 1, 12)
    assert evaluate(y.shape[2], sizes) == 12
    assert str(y.shape[2]) == "⌊(l + 3)/4⌋·4"


@pytest.mark.parametrize(
    ("constants", "attributes", "found"),
    [
        ([np.array([1, 1])], {}, "padding (1, 1) for 3 axes"),
        ([], {}, "padding None for 3 axes"),
        ([np.array([1, 1]), None, np.array([3])], {}, "axis 3 of a tensor of 3 axes"),
        ([np.array([0] * 6)], {"mode": "mirror"}, "mode 'mirror'"),
        ([np.array([0, 0, -5, 0, 0, -4])], {}, "axis 2 of its output: 0, at least 1 is needed"),
    ],
)
def test_what_does_not_fit_is_named(
    one: Any, numbers: Any, constants: Any, attributes: Any, found: str
) -> None:
    assert found in one("Pad", [numbers(1, 2, 9)], constants, **attributes).failure
