"""The geometry that convolutions and poolings share: kernel, stride, dilation and padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from volunet.graph.bounds import maximum, minimum
from volunet.graph.node import Node
from volunet.graph.sizes import Size, ceil_div, floor_div
from volunet.graph.spans import Window

WINDOW_FORMULA: Final = (
    "⌊({input} + {begin} + {end} − {dilation}·({kernel} − 1) − 1) / {stride}⌋ + 1"
)
"""Output size of a convolution or a pooling, of the numbers of `AxisWindow`."""

CEIL_FORMULA: Final = "⌈({input} + {begin} + {end} − {dilation}·({kernel} − 1) − 1) / {stride}⌉ + 1"
"""The same in ceil mode, before a last window that would begin behind the input is dropped."""


@dataclass(frozen=True)
class AxisWindow:
    """The window on one axis.

    Attributes:
        kernel: Taps.
        stride: Input slices from one window to the next.
        dilation: Input slices from one tap to the next.
        begin: Slices of padding in front.
        end: Slices of padding behind.
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    begin: Size = 0
    end: Size = 0

    @property
    def reach(self) -> int:
        """Input slices from the first tap to the last: dilation·(kernel − 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def has_torch_padding(self) -> bool:
        """Whether PyTorch's modules take the padding: one number for front and back."""
        return isinstance(self.begin, int) and self.begin == self.end

    def size(self, d: Size) -> Size:
        """⌊(d + begin + end − dilation·(kernel − 1) − 1) / stride⌋ + 1.

        Source:
            https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv3d.html; Dumoulin and Visin,
            https://arxiv.org/abs/1603.07285, relationship 6.
        """
        return floor_div(d + self.begin + self.end - self.reach, self.stride) + 1

    def ceil_size(self, d: Size) -> Size:
        """⌈(d + begin + end − dilation·(kernel − 1) − 1) / stride⌉ + 1, but no window in padding.

        A last window that would begin behind the input and its front padding is dropped:
        at most ⌈(d + begin) / stride⌉ windows.

        Source:
            https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool3d.html (ceil_mode).
        """
        windows = ceil_div(d + self.begin + self.end - self.reach, self.stride) + 1
        return minimum(windows, ceil_div(d + self.begin, self.stride))

    def span(self) -> Window:
        """Which input slices output slices need, the front padding being a number."""
        begin = self.begin if isinstance(self.begin, int) else 0
        return Window(self.stride, self.reach, begin)


def windows_of(node: Node, kernel: tuple[int, ...]) -> tuple[AxisWindow, ...]:
    """The windows of a node on its spatial axes, padding by ``auto_pad`` worked out.

    With ``SAME_UPPER`` and ``SAME_LOWER`` the output has ⌈d / stride⌉ slices, and the padding that
    this takes is split in halves, the odd slice behind (UPPER) or in front (LOWER).

    Raises:
        ShapeError: An attribute does not have a number for each axis.

    Source:
        https://onnx.ai/onnx/operators/onnx__Conv.html
    """
    axes = len(kernel)
    strides = node.integers("strides", (1,) * axes)
    dilations = node.integers("dilations", (1,) * axes)
    pads = node.integers("pads", (0,) * (2 * axes))
    auto_pad = node.text("auto_pad", "NOTSET")
    spatial = node.shape()[2:]
    for name, numbers, count in (
        ("kernel_shape", kernel, len(spatial)),
        ("strides", strides, axes),
        ("dilations", dilations, axes),
        ("pads", pads, 2 * axes),
    ):
        if numbers is None or len(numbers) != count:
            raise node.fault(f"{name} is {numbers}, for {len(spatial)} spatial axes")
    if strides is None or dilations is None or pads is None or min(*strides, *dilations) < 1:
        raise node.fault(f"strides {strides}, dilations {dilations}")
    plain = [AxisWindow(k, s, d) for k, s, d in zip(kernel, strides, dilations, strict=True)]
    if auto_pad == "VALID":
        return tuple(plain)
    if auto_pad == "NOTSET":
        return tuple(
            AxisWindow(w.kernel, w.stride, w.dilation, pads[axis], pads[axes + axis])
            for axis, w in enumerate(plain)
        )
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        raise node.fault(f"auto_pad is {auto_pad!r}")
    return tuple(_same(w, d, auto_pad) for w, d in zip(plain, spatial, strict=True))


def _same(window: AxisWindow, d: Size, auto_pad: str) -> AxisWindow:
    total = maximum(0, (ceil_div(d, window.stride) - 1) * window.stride + window.reach - d)
    half = floor_div(total, 2)
    begin, end = (half, total - half) if auto_pad == "SAME_UPPER" else (total - half, half)
    return AxisWindow(window.kernel, window.stride, window.dilation, begin, end)


def repeat(numbers: tuple[Size, ...]) -> str:
    """Numbers of axes as PyTorch source: one number where all are the same."""
    return str(numbers[0]) if len(set(numbers)) == 1 else str(numbers)
