"""Resizing as ONNX Runtime computes it: every coordinate, interpolation and rounding."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.graph.evaluation import evaluate
from volunet.graph.operators import OPERATORS
from volunet.graph.operators.resize import resized, resized_in_float32
from volunet.graph.sizes import symbol
from volunet.graph.spans import Coordinates, Rounding

RESIZE = OPERATORS["Resize"]

SCALES = (0.3, 0.5, 0.6, 0.7, 1.0, 1.5, 1.7, 2.0, 2.5, 3.0, 4.0)
"""Of those that are no halves, none multiplies to another number in float32 for the sizes below."""


@st.composite
def resizings(draw: Any) -> dict[str, Any]:
    """Sizes, scales or wanted sizes, and attributes."""
    kind = draw(st.sampled_from(["nearest", "nearest", "linear", "linear", "cubic"]))
    # ONNX Runtime's cubic interpolation is of the last two axes of four.
    axes = 2 if kind == "cubic" else draw(st.integers(1, 3))
    sizes = draw(st.lists(st.integers(2, 9 if axes < 3 else 5), min_size=axes, max_size=axes))
    coordinates = get_args(Coordinates)
    attributes: dict[str, Any] = {
        "mode": kind,
        "coordinate_transformation_mode": draw(st.sampled_from(coordinates)),
    }
    if kind == "nearest":
        attributes["nearest_mode"] = draw(st.sampled_from(get_args(Rounding)))
    by_size = draw(st.booleans())
    if by_size:
        wanted = draw(st.lists(st.integers(1, 12), min_size=axes, max_size=axes))
        constants = [None, None, np.array([1, 1, *wanted], np.int64)]
    else:
        # No axis shrinks to nothing.
        factors = [
            draw(st.sampled_from([s for s in SCALES if np.float32(s) * size >= 1]))
            for size in sizes
        ]
        constants = [None, np.array([1, 1, *factors], np.float32)]
    return {"x": (1, 1, *sizes), "constants": constants, "attributes": attributes}


@pytest.fixture(scope="session")
def model_of(one: Any, numbers: Any) -> Any:
    """Make the model of what was drawn."""

    def make(drawn: dict[str, Any]) -> Any:
        return one(
            "Resize", [numbers(*drawn["x"])], drawn["constants"], opset=19, **drawn["attributes"]
        )

    return make


@settings(max_examples=150, deadline=None, derandomize=True)
@given(resizings())
def test_sizes_are_those_of_onnx_runtime(
    model_of: Any, check_sizes: Any, drawn: dict[str, Any]
) -> None:
    check_sizes(model_of(drawn), ones=True)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(resizings())
def test_the_cone_is_exact(model_of: Any, check_reads: Any, drawn: dict[str, Any]) -> None:
    check_reads(model_of(drawn))


@settings(max_examples=250, deadline=None, derandomize=True)
@given(resizings())
def test_pytorch_computes_the_same(model_of: Any, check_source: Any, drawn: dict[str, Any]) -> None:
    model = model_of(drawn)
    attributes = drawn["attributes"]
    coordinates = attributes["coordinate_transformation_mode"]
    known = coordinates in ("half_pixel", "align_corners")
    known = known or (coordinates == "pytorch_half_pixel" and 1 not in model.run()[0].shape[2:])
    anywhere = known
    if attributes["mode"] == "nearest":
        known = (coordinates, attributes["nearest_mode"]) == ("asymmetric", "floor")
        scales = drawn["constants"][1]
        unchanged = model.run()[0].shape == drawn["x"] and (scales is None or set(scales) == {1})
        anywhere, known = known, known or unchanged
    # Of cubic interpolation PyTorch has that of two axes, which is what is drawn.
    assert (RESIZE.source(model.node) is not None) == known
    if known:
        # Sizes that are those of the input at one size only are no scales of 1.
        check_source(model, at_numbers_alone=not anywhere)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("scale", [2.0, 1.5])
def test_pytorchs_own_resizing_is_known(
    one: Any, numbers: Any, check_source: Any, mode: str, axes: int, scale: float
) -> None:
    words = (
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        if mode == "nearest"
        else {"coordinate_transformation_mode": "half_pixel"}
    )
    scales = np.array([1, 1] + [scale] * axes, np.float32)
    model = one("Resize", [numbers(1, 2, *[5, 4, 6][:axes])], [None, scales], mode=mode, **words)
    word = "nearest" if mode == "nearest" else ["linear", "bilinear", "trilinear"][axes - 1]
    assert check_source(model).call == (
        f'F.interpolate({{0}}, scale_factor={scale:g}, mode="{word}")'
    )


@pytest.mark.parametrize("size", [(3, 4), (5, 9), (2, 2), (7, 3)])
@pytest.mark.parametrize("scale", [0.25, 0.4, 0.5, 0.75, 1.5, 2.0])
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_antialiasing_reads_as_far_as_it_shrinks(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, size: Any, scale: float, mode: str
) -> None:
    sizes = [max(1, int(s * scale)) for s in size]
    x = numbers(1, 1, *size)
    model = one("Resize", [x], [None, None, np.array([1, 1, *sizes])], antialias=1, mode=mode)
    check_sizes(model)
    check_reads(model)
    assert RESIZE.source(model.node) is None


@pytest.mark.parametrize("opset", [10, 11, 13, 18])
@pytest.mark.parametrize("scale", [0.5, 0.6, 1.0, 1.7, 2.0])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_every_version_by_its_own_defaults(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, opset: int,
    scale: float, mode: str,
) -> None:  # fmt: skip
    scales = np.array([1, 1, scale, scale], np.float32)
    constants = [scales] if opset == 10 else [None if opset > 11 else np.float32([]), scales]
    model = one("Resize", [numbers(1, 1, 6, 5)], constants, opset=opset, mode=mode)
    check_sizes(model)
    check_reads(model)
    # PyTorch's nearest slice is that of opset 10, its linear interpolation the later default.
    nearest_known = scale == 1 or (opset == 10 and scale > 1)
    known = nearest_known if mode == "nearest" else opset > 10
    if known:
        check_source(model)
    else:
        assert RESIZE.source(model.node) is None


@pytest.mark.parametrize("opset", [7, 9])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0, 3.0])
def test_upsample_is_the_older_word(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, opset: int,
    mode: str, scale: float,
) -> None:  # fmt: skip
    scales = [1.0, 1.0, scale, 2.0]
    x = numbers(1, 2, 3, 4)
    model = (
        one("Upsample", [x], opset=7, mode=mode, scales=scales)
        if opset == 7
        else one("Upsample", [x], [np.float32(scales)], opset=9, mode=mode)
    )
    check_sizes(model)
    check_reads(model)
    if mode == "nearest":
        check_source(model)
    else:
        # PyTorch's linear interpolation has no asymmetric coordinates.
        assert OPERATORS["Upsample"].source(model.node) is None


@pytest.mark.parametrize("axes", [[2, 3], [3, 2], [-1], [0, 1, 2, 3]])
def test_some_axes_alone_are_resized(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, axes: list[int]
) -> None:
    x = numbers(1, 2, 4, 5)
    full = {0: 1, 1: 2, 2: 7, 3: 9, -1: 9}
    sizes = np.array([full[axis] for axis in axes], np.int64)
    by_size = one("Resize", [x], [None, None, sizes], axes=axes)
    check_sizes(by_size)
    check_reads(by_size)
    scales = np.array([2.0 if axis in (2, 3, -1) else 1.0 for axis in axes], np.float32)
    by_scale = one("Resize", [x], [None, scales], axes=axes)
    check_sizes(by_scale)
    check_reads(by_scale)


def test_a_product_is_rounded_to_float32_as_onnx_runtime_does_it(
    one: Any, check_sizes: Any
) -> None:
    """0.7 is 0.699999988 in a file, and yet ten slices become seven."""
    for size, scale, expected in ((10, 0.7, 7), (90, 1.3, 116), (30, 2.1, 62), (10, 1.3, 13)):
        x = np.zeros((1, 1, size), np.float32)
        model = one("Resize", [x], [None, np.float32([1, 1, scale])])
        assert model.run()[0].shape == (1, 1, expected)
        assert model.node.outputs[0].shape == (1, 1, expected)


def test_a_formula_has_the_fraction_that_was_meant() -> None:
    from fractions import Fraction

    scale = Fraction(float(np.float32(0.7)))
    size = resized_in_float32(symbol("d"), scale)
    assert str(size) == "⌊d·7/10⌋"
    assert evaluate(size, {"d": 10}) == 7
    assert resized(10, scale) == 6
    assert str(resized_in_float32(symbol("d"), Fraction(2))) == "d·2"
    third = Fraction(float(np.float32(1 / 3)))
    assert str(resized_in_float32(symbol("d"), third)) == "⌊d/3⌋"
    odd = Fraction(12345679, 1 << 24)
    assert resized_in_float32(symbol("d"), odd) == resized(symbol("d"), odd)


def test_a_size_that_follows_from_another_input_is_a_formula(parsed: Any, numbers: Any) -> None:
    """A decoder that is resized to its skip: the sizes come from `Shape`."""
    model = parsed(
        """
        g (float[1,2,h,w] x, float[1,2,k,l] skip) => (float[1,2,k2,l2] y) {
            wanted = Shape(skip)
            y = Resize <mode = "linear"> (x, , , wanted)
        }
        """,
        x=numbers(1, 2, 3, 4), skip=numbers(1, 2, 7, 9),
    )  # fmt: skip
    network, sizes = model.open()
    (y,) = network.outputs
    assert [evaluate(size, sizes) for size in y.shape] == list(model.run()[0].shape) == [1, 2, 7, 9]


@pytest.mark.parametrize(
    ("constants", "attributes", "found"),
    [
        ([None, np.float32([1, 1, 2])], {}, "3 scales or sizes for 4 axes"),
        ([None, None, np.array([5, 5, 5])], {"axes": [2, 3]}, "3 scales or sizes for 2 axes"),
        ([None, np.float32([2.0])], {"axes": [4]}, "axis 4 of a tensor of 4 axes"),
        ([None, np.float32([1, 1, 2, 2])], {"mode": "area"}, "mode 'area'"),
        ([], {}, "neither its scales nor its sizes follow"),
        (
            [None, None, np.array([1, 1, 5, 5])],
            {"keep_aspect_ratio_policy": "not_larger"},
            "keep_aspect_ratio_policy is not 'stretch'",
        ),
        ([None, np.float32([1, 1, 0.1, 2])], {}, "axis 2 of its output: 0, at least 1 is needed"),
    ],
)
def test_what_does_not_fit_is_named(
    one: Any, numbers: Any, constants: Any, attributes: Any, found: str
) -> None:
    model = one("Resize", [numbers(1, 1, 4, 5)], constants, **attributes)
    assert model.failure.startswith("Resize 'node': ")
    assert found in model.failure


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        (
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            "coordinate_transformation_mode 'tf_crop_and_resize'",
        ),
        ({"nearest_mode": "simple"}, "nearest_mode 'simple'"),
    ],
)
def test_words_without_a_rule_are_named(
    one: Any, numbers: Any, attributes: Any, found: str
) -> None:
    model = one("Resize", [numbers(1, 1, 4, 5)], [None, np.float32([1, 1, 2, 2])], **attributes)
    assert found in model.failure


def test_scales_that_are_data_are_refused(one: Any, numbers: Any) -> None:
    model = one("Resize", [numbers(1, 1, 4, 5), np.float32([]), np.float32([1, 1, 2, 2])])
    assert "neither its scales nor its sizes follow from the input's size" in model.failure
