"""One operator's output size, asked for outside of any network, and how it comes about.

Sizes and formulas are those of `volunet.graph.operators`, so that what a user is told here is what
a network's graph is inferred with.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal

import numpy as np

from volunet.errors import ShapeError
from volunet.graph.evaluation import evaluate
from volunet.graph.operators.conv_transpose import TRANSPOSED_FORMULA, AxisTransposed
from volunet.graph.operators.resize import RESIZE_FORMULA, resized
from volunet.graph.operators.windows import CEIL_FORMULA, WINDOW_FORMULA, AxisWindow

OperatorName = Literal["conv", "conv-transpose", "max-pool", "avg-pool", "resize"]

_WINDOW_FLAGS: Final = ("--kernel", "--stride", "--padding", "--dilation")

FLAGS: Final[dict[OperatorName, tuple[str, ...]]] = {
    "conv": _WINDOW_FLAGS,
    "conv-transpose": (*_WINDOW_FLAGS, "--output-padding"),
    "max-pool": (*_WINDOW_FLAGS, "--ceil"),
    "avg-pool": (*_WINDOW_FLAGS, "--ceil"),
    "resize": ("--scale", "--size"),
}
"""Operator → the settings that it has."""

AXIS_NAMES: Final = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
"""Rank → PyTorch's letters of the axes."""

SIZE_FORMULA: Final = "{size}"
"""Output size of a resize to a size: that size, whatever the input's."""

_PAGE: Final = "https://docs.pytorch.org/docs/stable/generated/torch.nn.{}.html"

_MODULES: Final[dict[OperatorName, str]] = {
    "conv": "Conv{rank}d",
    "conv-transpose": "ConvTranspose{rank}d",
    "max-pool": "MaxPool{rank}d",
    "avg-pool": "AvgPool{rank}d",
    "resize": "functional.interpolate",
}


@dataclass(frozen=True)
class AxisSetting:
    """An operator's settings on one axis, those that it has not at their defaults.

    Attributes:
        input: Slices of the input.
        kernel: Taps.
        stride: Slices from one window to the next, of a transposed convolution in the output.
        dilation: Slices from one tap to the next.
        begin: Padding in front; of a transposed convolution, output slices cut off in front.
        end: The same behind.
        output_padding: Slices added behind the output of a transposed convolution.
        ceil: Whether a pooling rounds up.
        scale: Factor of a resize; None where its size is given.
        size: Size that a resize is asked for; None where its scale is given.
    """

    input: int
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    begin: int = 0
    end: int = 0
    output_padding: int = 0
    ceil: bool = False
    scale: float | None = None
    size: int | None = None

    def text(self, flag: str) -> str:
        """A flag's value on this axis, as it is typed; empty where it has none."""
        if flag == "--padding" and self.begin != self.end:
            return f"{self.begin}:{self.end}"
        value = self.begin if flag == "--padding" else getattr(self, flag[2:].replace("-", "_"))
        if value is None:
            return ""
        # Digits as typed: neither 2.0 for 2 nor 1e-05.
        return format(Decimal(repr(value)).normalize(), "f") if flag == "--scale" else str(value)


@dataclass(frozen=True)
class ShapeQuestion:
    """Which size does an operator answer?

    Attributes:
        operator: The operator.
        axes: Its settings on each axis of the input, 1 to 3.
    """

    operator: OperatorName
    axes: tuple[AxisSetting, ...]

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags that take a number and have one."""
        return tuple(f for f in FLAGS[self.operator] if f != "--ceil" and self.axes[0].text(f))

    @property
    def ceil(self) -> bool:
        """Whether a pooling rounds up."""
        return self.axes[0].ceil

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the axes."""
        return AXIS_NAMES[len(self.axes)]

    @property
    def output(self) -> tuple[int, ...]:
        """The output size."""
        return tuple(output_size(self.operator, axis) for axis in self.axes)

    @property
    def formula(self) -> str:
        """The output size of an axis, in words."""
        formula = _formula(self.operator, self.axes[0])
        return formula.format_map({name: name for name in asdict(self.axes[0])})

    @property
    def source(self) -> str:
        """PyTorch's page on the operator."""
        return _PAGE.format(_MODULES[self.operator].format(rank=len(self.axes)))

    def flag(self, flag: str) -> str:
        """A flag as it is typed: one number where all axes have the same.

        Example:
            >>> axes = (AxisSetting(9, end=1), AxisSetting(9))
            >>> ShapeQuestion("conv", axes).flag("--padding")
            '--padding 0:1,0'
        """
        texts = [axis.text(flag) for axis in self.axes]
        return f"{flag} {texts[0] if len(set(texts)) == 1 else ','.join(texts)}"

    def place(self, index: int) -> str:
        """An axis in a message: nothing where there is but one."""
        return f", axis {self.names[index]}" if len(self.axes) > 1 else ""

    def equation(self, index: int) -> str:
        """The formula of an axis with its numbers, and what it gives."""
        axis = self.axes[index]
        numbers = {**asdict(axis), "scale": axis.text("--scale")}
        dropped = f" − {_dropped(axis)}" if _dropped(axis) else ""
        text = _formula(self.operator, axis).format_map(numbers) + dropped
        return f"{text} = {str(output_size(self.operator, axis)).replace('-', '−')}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is to be known about the answer, or nothing."""
        notes = [note for i in range(len(self.axes)) for note in _rounding_notes(self, i)]
        if any(_dropped(axis) for axis in self.axes):
            notes.append(
                "− 1: no window begins behind the input and its padding in front; "
                "the last one is dropped."
            )
        if any(axis.begin != axis.end for axis in self.axes):
            notes.append(f"front:behind: {two_sided(self.operator)}.")
        if self.operator == "avg-pool" and any(axis.dilation != 1 for axis in self.axes):
            notes.append("PyTorch's average pooling has no dilation; ONNX's has since opset 19.")
        smaller = any(axis.input < axis.kernel for axis in self.axes)
        # aten/src/ATen/native/Pool.h, pool3d_shape_check: not so in 1D and 2D.
        if self.operator == "avg-pool" and len(self.axes) == 3 and smaller:
            notes.append("PyTorch's AvgPool3d refuses an input that is smaller than its kernel.")
        return tuple(notes)

    def to_json(self) -> dict[str, Any]:
        """The question and its answer as plain data."""
        shown = {"input", *(flag[2:].replace("-", "_") for flag in FLAGS[self.operator])}
        shown |= {"begin", "end"} if "padding" in shown else set()
        return {
            "operator": self.operator,
            "input": [axis.input for axis in self.axes],
            "output": list(self.output),
            "formula": self.formula,
            "axes": [
                {
                    "axis": name,
                    **{key: value for key, value in asdict(axis).items() if key in shown},
                    "output": output_size(self.operator, axis),
                    "equation": self.equation(index),
                }
                for index, (name, axis) in enumerate(zip(self.names, self.axes, strict=True))
            ],
            "notes": list(self.notes),
            "source": self.source,
        }


def output_size(operator: OperatorName, axis: AxisSetting) -> int:
    """The output size of an axis, by the rule of the operator in a graph.

    Source:
        The operators' pages, https://docs.pytorch.org/docs/stable/nn.html

    Example:
        >>> output_size("conv-transpose", AxisSetting(9, 2, 2, 2, 1, 1, 1))
        18
    """
    if operator == "resize":
        size = axis.size if axis.scale is None else resized(axis.input, _exact(axis.scale))
    elif operator == "conv-transpose":
        size = AxisTransposed(
            axis.kernel, axis.stride, axis.dilation, axis.begin, axis.end, axis.output_padding
        ).size(axis.input)
    else:
        window = AxisWindow(axis.kernel, axis.stride, axis.dilation, axis.begin, axis.end)
        size = window.ceil_size(axis.input) if axis.ceil else window.size(axis.input)
    return int(evaluate(size or 0, {}))


def check_question(question: ShapeQuestion) -> None:
    """Check that PyTorch would take the settings, and that something comes out.

    Raises:
        ShapeError: An output padding is not smaller than stride or dilation, a pooling's padding is
            over half its kernel, or an output axis is below 1.

    Source:
        The checks of PyTorch's own operators: aten/src/ATen/native/Pool.h,
        aten/src/ATen/native/NaiveConvolutionTranspose3d.cpp.
    """
    for index, axis in enumerate(question.axes):
        largest = max(axis.stride, axis.dilation) - 1
        if axis.output_padding > largest:
            raise ShapeError(
                question.flag("--output-padding") + question.place(index),
                f"output padding {axis.output_padding} with stride {axis.stride} and dilation "
                f"{axis.dilation}",
                "PyTorch takes an output padding that is smaller than the stride or the dilation.",
                f"0 to {largest}, or raise one of the two.",
            )
        half = most_padding(question.operator, axis)
        if half is not None and max(axis.begin, axis.end) > half:
            raise ShapeError(
                question.flag("--padding") + question.place(index),
                f"padding {axis.text('--padding')} with kernel {axis.kernel}",
                "PyTorch takes a pooling's padding up to half its kernel.",
                f"0 to {half}, or a larger kernel.",
            )
    for index, axis in enumerate(question.axes):
        if output_size(question.operator, axis) < 1:
            raise ShapeError(
                f"{question.operator}{question.place(index)}",
                f"no output: {question.equation(index)}",
                "At least 1 comes out on each axis.",
                _remedy(question.operator),
            )


def most_padding(operator: OperatorName, axis: AxisSetting) -> int | None:
    """The most padding on a side that PyTorch takes, None where it has no limit."""
    return axis.kernel // 2 if operator in ("max-pool", "avg-pool") else None


def two_sided(operator: OperatorName) -> str:
    """How to come by a padding that differs in front and behind."""
    before = {
        "conv": "F.pad before it",
        "conv-transpose": "slice what it answers",
        "max-pool": "F.pad(…, value=-inf) before it",
        "avg-pool": "F.pad before it, which counts the padding in",
    }
    return f"ONNX has it as pads; in PyTorch {before[operator]}"


def float_sizes(axis: AxisSetting) -> dict[str, int]:
    """What a resize by a scale gives where the product is rounded: engine → size.

    Source:
        PyTorch multiplies in float64 (aten/src/ATen/native/UpSample.cpp, compute_output_size), ONNX
        Runtime in float32 (core/providers/cpu/tensor/upsamplebase.h).
    """
    if axis.scale is None:
        return {}
    return {
        "PyTorch": math.floor(axis.input * axis.scale),
        "ONNX Runtime": math.floor(np.float32(axis.input) * np.float32(axis.scale)),
    }


def _formula(operator: OperatorName, axis: AxisSetting) -> str:
    if operator == "resize":
        return SIZE_FORMULA if axis.scale is None else RESIZE_FORMULA
    if operator == "conv-transpose":
        return TRANSPOSED_FORMULA
    return CEIL_FORMULA if axis.ceil else WINDOW_FORMULA


def _exact(scale: float) -> Fraction:
    """The number that was typed, 0.7 and not its neighbour among the floats."""
    return Fraction(repr(scale))


def _dropped(axis: AxisSetting) -> int:
    """Windows of `CEIL_FORMULA` that lie behind the input: rounding up is stride − 1 more slices.

    ⌈x / stride⌉ = ⌊(x + stride − 1) / stride⌋, so that the same rule counts them.
    """
    if not axis.ceil:
        return 0
    window = AxisWindow(axis.kernel, axis.stride, axis.dilation, axis.begin, axis.end)
    longer = AxisWindow(
        axis.kernel, axis.stride, axis.dilation, axis.begin, axis.end + axis.stride - 1
    )
    return int(evaluate(longer.size(axis.input) - window.ceil_size(axis.input), {}))


def _rounding_notes(question: ShapeQuestion, index: int) -> list[str]:
    axis = question.axes[index]
    if axis in question.axes[:index]:
        return []
    exact = output_size(question.operator, axis)
    return [
        f"{engine} rounds the product {axis.input}·{axis.text('--scale')} and gives {size}; "
        "--size says what is meant."
        for engine, size in float_sizes(axis).items()
        if size != exact
    ]


def _remedy(operator: OperatorName) -> str:
    if operator == "resize":
        return "Raise the scale, or enlarge the input."
    if operator == "conv-transpose":
        return "Enlarge the input or the kernel, or lower the padding."
    return "Enlarge the input or the padding, or shrink the kernel or the dilation."
