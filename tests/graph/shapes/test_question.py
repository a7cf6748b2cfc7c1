"""One operator's output size: the printed formula, PyTorch's own answer, PyTorch's own refusals."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from volunet.errors import ShapeError
from volunet.graph.operators.conv_transpose import TRANSPOSED_FORMULA
from volunet.graph.operators.resize import RESIZE_FORMULA
from volunet.graph.operators.windows import CEIL_FORMULA, WINDOW_FORMULA
from volunet.graph.shapes.question import (
    FLAGS,
    AxisSetting,
    ShapeQuestion,
    check_question,
    float_sizes,
    output_size,
)

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

WINDOWS = ("conv", "conv-transpose", "max-pool", "avg-pool")


@st.composite
def axes_of(draw, operator, largest=40, alike=True):
    """Settings of an axis, whether PyTorch takes them or not."""
    number = st.integers(1, largest)
    if operator == "resize":
        if draw(st.booleans()):
            return AxisSetting(draw(number), size=draw(number))
        return AxisSetting(draw(number), scale=draw(st.integers(1, 999)) / draw(st.just(100)))
    begin = draw(st.integers(0, 5))
    return AxisSetting(
        draw(number),
        kernel=draw(st.integers(1, 6)),
        stride=draw(st.integers(1, 5)),
        dilation=draw(st.integers(1, 4)),
        begin=begin,
        end=begin if alike else draw(st.integers(0, 5)),
        output_padding=draw(st.integers(0, 4)) if operator == "conv-transpose" else 0,
        ceil=draw(st.booleans()) if operator.endswith("pool") else False,
    )


@st.composite
def questions(draw, operators=tuple(FLAGS), ranks=(1, 2, 3), **keys):
    operator = draw(st.sampled_from(operators))
    rank = draw(st.sampled_from(ranks))
    axes = [draw(axes_of(operator, **keys)) for _ in range(rank)]
    axes = [replace(axis, ceil=axes[0].ceil) for axis in axes]
    if operator == "resize":
        by_size = axes[0].size is not None
        axes = [axis if (axis.size is not None) == by_size else axes[0] for axis in axes]
    return ShapeQuestion(operator, tuple(axes))


def tamed(question):
    """The question with paddings that PyTorch takes."""
    axes = []
    for axis in question.axes:
        half = axis.kernel // 2 if question.operator.endswith("pool") else 5
        most = max(axis.stride, axis.dilation) - 1
        begin, end, behind = min(axis.begin, half), min(axis.end, half), axis.output_padding
        axes.append(replace(axis, begin=begin, end=end, output_padding=min(behind, most)))
    return replace(question, axes=tuple(axes))


def refused(question):
    try:
        check_question(question)
    except ShapeError:
        return True
    return False


def in_pytorch(question, device):
    """The spatial size that PyTorch's module answers, of one channel."""
    rank = len(question.axes)
    x = torch.empty(1, 1, *(axis.input for axis in question.axes), device=device)
    kernel, stride, dilation, padding, behind = (
        tuple(getattr(axis, name) for axis in question.axes)
        for name in ("kernel", "stride", "dilation", "begin", "output_padding")
    )
    if question.operator == "conv":
        module = getattr(torch.nn, f"Conv{rank}d")(
            1, 1, kernel, stride, padding, dilation, device=device
        )
    elif question.operator == "conv-transpose":
        module = getattr(torch.nn, f"ConvTranspose{rank}d")(
            1, 1, kernel, stride, padding, behind, dilation=dilation, device=device
        )
    elif question.operator == "max-pool":
        module = getattr(torch.nn, f"MaxPool{rank}d")(
            kernel, stride, padding, dilation, ceil_mode=question.ceil
        )
    else:
        module = getattr(torch.nn, f"AvgPool{rank}d")(
            kernel, stride, padding, ceil_mode=question.ceil
        )
    with torch.no_grad():
        return tuple(module(x).shape[2:])


def without_dilation(question):
    """PyTorch's average pooling has none."""
    if question.operator != "avg-pool":
        return question
    return replace(question, axes=tuple(replace(axis, dilation=1) for axis in question.axes))


def refused_in_3d(question):
    """What only PyTorch's average pooling in 3D refuses, and ONNX takes: a note says so."""
    return any("AvgPool3d refuses" in note for note in question.notes)


def number_of(text):
    """The number that a printed formula stands for, its signs turned into Python's."""
    for sign, python in (
        ("⌊", "math.floor("), ("⌋", ")"), ("⌈", "math.ceil("), ("⌉", ")"),
        ("−", "-"), ("·", "*"),
    ):  # fmt: skip
        text = text.replace(sign, python)
    return eval(text, {"__builtins__": {}, "math": math})  # noqa: S307  (made above, in this file)


@pytest.mark.parametrize("d", [1, 2, 9, 300])
def test_notes_upsampling_is_told_as_in_the_notes(d):
    question = ShapeQuestion("conv-transpose", (AxisSetting(d, 2, 2, 2, 1, 1, 1),) * 3)
    assert question.output == (2 * d,) * 3
    assert question.equation(0) == f"({d} − 1)·2 − 1 − 1 + 2·(2 − 1) + 1 + 1 = {2 * d}"


def test_notes_upsampling_doubles_every_size():
    """Kernel 2, stride 2, padding 1, dilation 2, output padding 1."""
    sizes = range(1, 301)
    doubled = [output_size("conv-transpose", AxisSetting(d, 2, 2, 2, 1, 1, 1)) for d in sizes]
    assert doubled == [2 * d for d in sizes]


@given(questions(alike=False))
@example(ShapeQuestion("max-pool", (AxisSetting(4, stride=2, ceil=True),)))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_printed_formula_gives_the_size(question):
    for index in range(len(question.axes)):
        text, _, size = question.equation(index).rpartition(" = ")
        if question.operator == "resize" and question.axes[index].scale is not None:
            # Python multiplies in floating point; the size is that of the numbers that stand there.
            scale = round(question.axes[index].scale * 100)
            text = f"⌊{question.axes[index].input * scale} / 100⌋"
        assert number_of(text) == number_of(size) == question.output[index]


@given(questions(operators=("max-pool", "avg-pool"), alike=False))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_ceil_mode_drops_at_most_the_last_window(question):
    axes = tuple(replace(axis, ceil=True) for axis in question.axes)
    question = tamed(replace(question, axes=axes))
    for index in range(len(question.axes)):
        text, _, _ = question.equation(index).rpartition(" = ")
        assert text.endswith(("⌉ + 1", "⌉ + 1 − 1"))


@pytest.mark.parametrize(
    ("operator", "axis", "formula"),
    [
        ("conv", AxisSetting(9), WINDOW_FORMULA),
        ("max-pool", AxisSetting(9), WINDOW_FORMULA),
        ("avg-pool", AxisSetting(9, ceil=True), CEIL_FORMULA),
        ("conv-transpose", AxisSetting(9), TRANSPOSED_FORMULA),
        ("resize", AxisSetting(9, scale=2.0), RESIZE_FORMULA),
        ("resize", AxisSetting(9, size=4), "size"),
    ],
)
def test_formula_is_the_operators_own(operator, axis, formula):
    told = ShapeQuestion(operator, (axis,)).formula
    assert told == formula.replace("{", "").replace("}", "")


@given(questions(operators=WINDOWS))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_sizes_are_pytorch_s(question):
    question = tamed(without_dilation(question))
    assume(not refused(question) and not refused_in_3d(question))
    assert in_pytorch(question, "meta") == question.output


@given(questions(operators=WINDOWS, largest=7))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_refusals_are_pytorch_s(question):
    """On real, small tensors: on meta ones PyTorch does not check output padding."""
    question = without_dilation(question)
    # The last is oneDNN's word for an answer without voxels.
    message = r"padding|pad should|[Oo]utput size|Kernel size|smaller than kernel|descriptor"
    if refused(question) or refused_in_3d(question):
        with pytest.raises(RuntimeError, match=message):
            in_pytorch(question, "cpu")
    else:
        assert in_pytorch(question, "cpu") == question.output


@given(st.integers(1, 400), st.integers(1, 999))
@example(100, 29)  # 100·0.29 is 28.999999999999996
@example(10, 70)  # 0.7 is a little less in float32 and in float64
@settings(max_examples=300, deadline=None, derandomize=True)
def test_resize_by_a_scale_is_pytorch_s_or_says_so(d, hundredths):
    axis = AxisSetting(d, scale=hundredths / 100)
    question = ShapeQuestion("resize", (axis,))
    assert question.output == (d * hundredths // 100,)
    assume(question.output[0] >= 1)
    x = torch.empty(1, 1, d, device="meta")
    answer = torch.nn.functional.interpolate(x, scale_factor=axis.scale).shape[2]
    assert answer == float_sizes(axis)["PyTorch"]
    noted = f"PyTorch rounds the product {d}·{axis.text('--scale')} and gives {answer}"
    assert (answer != question.output[0]) == any(noted in note for note in question.notes)


@pytest.mark.parametrize(("d", "scale"), [(100, 0.29), (50, 0.58), (10, 0.7), (3, 1.6666667)])
def test_resize_by_a_scale_is_onnx_runtime_s(d, scale):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    make = onnx.helper
    graph = make.make_graph(
        [make.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")],
        "resize",
        [make.make_tensor_value_info("x", 1, [1, 1, None])],
        [make.make_tensor_value_info("y", 1, None)],
        [make.make_tensor("scales", 1, [3], [1, 1, scale])],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9)
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, {"x": torch.zeros(1, 1, d).numpy()})
    assert y.shape[2] == float_sizes(AxisSetting(d, scale=scale))["ONNX Runtime"]


@pytest.mark.parametrize(
    ("operator", "axes", "message"),
    [
        (
            "conv-transpose",
            (AxisSetting(3, 2, 2, 1), AxisSetting(3, 2, 2, 1, output_padding=2)),
            r"^--output-padding 0,2, axis W: output padding 2 with stride 2 and dilation 1\.\n"
            r"PyTorch takes an output padding that is smaller than the stride or the dilation\.\n"
            r"0 to 1, or raise one of the two\.$",
        ),
        (
            "max-pool",
            (AxisSetting(9, 3, begin=1, end=2),),
            r"^--padding 1:2: padding 1:2 with kernel 3\.\n"
            r"PyTorch takes a pooling's padding up to half its kernel\.\n0 to 1, or a larger",
        ),
        (
            "conv",
            (AxisSetting(9, 5), AxisSetting(3, 5), AxisSetting(9, 5)),
            r"^conv, axis H: no output: ⌊\(3 \+ 0 \+ 0 − 1·\(5 − 1\) − 1\) / 1⌋ \+ 1 = −1\.\n"
            r"At least 1 comes out on each axis\.\nEnlarge the input or the padding, or shrink",
        ),
        (
            "conv-transpose",
            (AxisSetting(2, 1, begin=1, end=1),),
            r"^conv-transpose: no output: \(2 − 1\)·1 − 1 − 1 .* = 0\.\n.*\n.* lower the padding\.",
        ),
        ("resize", (AxisSetting(3, scale=0.2),), r"^resize: no output: ⌊3·0\.2⌋ = 0\.\n.*\nRaise"),
    ],
    ids=["output padding", "half the kernel", "kernel", "cut off", "scale"],
)
def test_what_pytorch_does_not_take(operator, axes, message):
    with pytest.raises(ShapeError, match=message):
        check_question(ShapeQuestion(operator, axes))


@pytest.mark.parametrize(
    ("operator", "axis", "note"),
    [
        ("conv", AxisSetting(9, end=1), "front:behind: ONNX has it as pads; in PyTorch F.pad befo"),
        ("avg-pool", AxisSetting(9, 2, dilation=2), "PyTorch's average pooling has no dilation"),
        ("max-pool", AxisSetting(4, stride=2, ceil=True), "− 1: no window begins behind the inpu"),
        ("avg-pool", AxisSetting(2, 4, begin=2, end=2), "PyTorch's AvgPool3d refuses an input tha"),
        ("conv", AxisSetting(9), None),
    ],
)
def test_notes(operator, axis, note):
    notes = ShapeQuestion(operator, (axis,) * 3).notes
    assert notes == () if note is None else (len(notes) == 1 and notes[0].startswith(note))


@pytest.mark.parametrize(
    ("scale", "text"), [(2.0, "2"), (1.5, "1.5"), (0.00001, "0.00001"), (100.0, "100")]
)
def test_scales_are_told_as_typed(scale, text):
    assert AxisSetting(9, scale=scale).text("--scale") == text


def test_json():
    question = ShapeQuestion("max-pool", (AxisSetting(9, 2, 2), AxisSetting(8, 2, 2)))
    content = question.to_json()
    assert content["input"] == [9, 8]
    assert content["output"] == [4, 4]
    assert content["source"].endswith("torch.nn.MaxPool2d.html")
    assert content["axes"][1] == {
        "axis": "W", "input": 8, "kernel": 2, "stride": 2, "dilation": 1, "begin": 0, "end": 0,
        "ceil": False, "output": 4, "equation": "⌊(8 + 0 + 0 − 1·(2 − 1) − 1) / 2⌋ + 1 = 4",
    }  # fmt: skip
