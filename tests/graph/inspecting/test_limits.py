"""The sizes that a network takes, in words; and they are those that ONNX Runtime takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from volunet.graph.inspecting.limits import TRIED, find_limits, in_words, nearest_size
from volunet.graph.network import infer_sizes
from volunet.graph.reading.onnx_file import read_onnx

Make = Callable[..., ir.Model]
SIZES = np.arange(1, TRIED + 1)


@pytest.mark.parametrize(
    ("passes", "words"),
    [
        (SIZES > 0, "any size"),
        (SIZES > 6, "any size from 7 up"),
        (SIZES % 16 == 0, "a multiple of 16"),
        ((SIZES % 16 == 0) & (SIZES > 32), "a multiple of 16 from 48 up"),
        (SIZES % 8 == 5, "5 more than a multiple of 8"),
        ((SIZES % 8 == 5) & (SIZES > 20), "5 more than a multiple of 8, from 21 up"),
        (np.isin(SIZES % 4, [0, 3]), "0, 3 more than a multiple of 4"),
        ((SIZES % 2 == 0) | (SIZES == 3), "a multiple of 2 from 4 up (and 2, 3)"),
        (SIZES == 224, "only 224"),
        ((SIZES >= 224) & (SIZES < 256), "224 to 255"),
        (np.isin(SIZES, [3, 7]), "only 3, 7"),
        (SIZES < 0, "none up to 4096"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_words(passes: np.ndarray, words: str) -> None:
    assert in_words(passes) == words


@given(period=st.integers(1, 100), rest=st.integers(0, 99), start=st.integers(1, 300))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_words_of_multiples_name_the_period(period: int, rest: int, start: int) -> None:
    rest %= period
    words = in_words((SIZES % period == rest) & (start <= SIZES))
    assert ("any size" in words) if period == 1 else (f"multiple of {period}" in words)


def test_a_network_that_halves_takes_even_sizes(two_levels: Make) -> None:
    limits = find_limits(infer_sizes(two_levels(), "m"))
    assert limits.text == "each axis a multiple of 2"
    assert [limit.axis for limit in limits.axes] == ["d", "h", "w"]
    node, rule = limits.axes[0].strictest or (None, None)
    assert node is not None
    assert (node.name, str(rule)) == ("join", "axis 2 of 'skip' and of 'up': d and ⌊d/2⌋·2")
    assert nearest_size(limits, (5, 6, 1)) == (6, 6, 2)


def test_axes_with_different_limits_are_told_apart(two_levels: Make) -> None:
    limits = find_limits(infer_sizes(two_levels((1, 1, "d", 4, "w")), "m"))
    assert [limit.axis for limit in limits.axes] == ["d", "w"]
    fixed = find_limits(infer_sizes(two_levels((1, 1, 4, 4, 4)), "m"))
    assert fixed.text == "only the one in the file"


def test_a_file_that_contradicts_itself_takes_no_size(make_model: Make) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    weights = {"w": np.zeros((4, 3, 1), np.float32)}
    limits = find_limits(infer_sizes(make_model(nodes, (1, 2, "l"), weights), "m"))
    assert limits.text == "none"
    assert str(limits.never[0]) == (
        "Conv 'conv': channels of the input and those of the weights: 2 and 3"
    )
    assert nearest_size(limits, (8,)) is None


def test_a_classifier_ties_its_axes_together(make_model: Make) -> None:
    """Flattened maps into a fixed number of columns: what makes a CNN want one input size."""
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"], name="classify"),
    ]
    weights = {"w": np.zeros((3 * 8 * 8, 10), np.float32)}
    limits = find_limits(infer_sizes(make_model(nodes, (1, 3, "h", "w"), weights), "m"))
    assert limits.joint == ("⌊h/4⌋·⌊w/4⌋·3 = 192",)
    assert limits.text == (
        "each axis any size from 4 up; ⌊h/4⌋·⌊w/4⌋·3 = 192; all axes the same: 32 to 35"
    )
    assert nearest_size(limits, (20, 30)) == (32, 32)
    assert nearest_size(limits, (40, 30)) is None


def test_a_size_without_a_formula_leaves_the_limits_unknown(make_model: Make) -> None:
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"], name="regroup")]
    weights = {"s": np.array([7, -1])}
    model = make_model(nodes, (1, 3, "l"), weights)
    assert find_limits(infer_sizes(model, "m")).text == "not known"
    assert infer_sizes(model, "m", (14,)).outputs[0].shape == (7, 6)
    (failure,) = infer_sizes(model, "m", (15,)).failures
    assert "elements of 1×3×15 and of 7×6: 45 and 42" in str(failure)


def runs(session: ort.InferenceSession, size: tuple[int, ...]) -> bool:
    x = np.zeros((1, 1, *size), np.float32)
    try:
        session.run(None, {session.get_inputs()[0].name: x})
    except (ort.capi.onnxruntime_pybind11_state.RuntimeException,
            ort.capi.onnxruntime_pybind11_state.Fail,
            ort.capi.onnxruntime_pybind11_state.InvalidArgument):  # fmt: skip
        return False
    return True


def test_the_notes_network_takes_what_onnxruntime_takes(reference_folder: Path) -> None:
    file = reference_folder / "notes_unet3d_small_eval.onnx"
    limits = find_limits(infer_sizes(read_onnx(file), "notes"))
    assert limits.text == "each axis a multiple of 16"
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(file, options)
    for axis, limit in enumerate(limits.axes):
        for d in (1, 8, 15, 16, 17, 24, 31, 32, 33, 40, 48):
            size = tuple(d if a == axis else 16 for a in range(3))
            assert runs(session, size) == bool(limit.passes[d - 1]), size
