"""Max and average pooling."""

from __future__ import annotations

from onnx_ir import DataType

from volunet.graph.node import Node
from volunet.graph.operators.conv import window_arguments
from volunet.graph.operators.operator import Flops, Operator, Read, Role, Source, element_flops
from volunet.graph.operators.windows import AxisWindow, repeat, windows_of
from volunet.graph.sizes import Size
from volunet.graph.spans import Pointwise
from volunet.graph.tensors import Tensor


class Pool(Operator):
    """``MaxPool``, ``AveragePool`` and ``LpPool``, floor and ceil mode.

    Size on each axis: ⌊(d + begin + end − dilation·(kernel − 1) − 1) / stride⌋ + 1; in ceil mode
    ⌈ ⌉ instead of ⌊ ⌋, and at most ⌈(d + begin) / stride⌉: no window begins in the padding behind.

    Args:
        module: PyTorch's module without ``1d``, ``2d`` or ``3d``; empty where there is none.

    Source:
        https://onnx.ai/onnx/operators/onnx__MaxPool.html,
        https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool3d.html
    """

    role: Role = "pooling"

    def __init__(self, module: str) -> None:
        self.module = module

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """(N, C, …) → (N, C, …); the second output of a max pooling are places, int64."""
        x = node.shape()
        ceil = node.integer("ceil_mode", 0)
        windows = zip(pool_windows(node), x[2:], strict=True)
        shape = (*x[:2], *((w.ceil_size(d) if ceil else w.size(d)) for w, d in windows))
        if len(node.output_names) < 2:
            return (node.output(shape),)
        return node.output(shape), node.output(shape, index=1, dtype=DataType.INT64)

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """A window on a spatial axis."""
        return Read(axis, Pointwise() if axis < 2 else pool_windows(node)[axis - 2].span())

    def flops(self, node: Node) -> Flops:
        """A comparison or an addition for each tap."""
        return element_flops(node, _taps(pool_windows(node)))

    def source(self, node: Node) -> Source | None:
        """``nn.MaxPool3d`` or ``nn.AvgPool3d``.

        Behind ``F.pad`` where the padding differs front and back, or is more than half of the
        kernel, which PyTorch does not take.
        """
        windows = pool_windows(node)
        average = self.module == "AvgPool"
        if not self.module or (average and any(w.dilation != 1 for w in windows)):
            return None
        if any(w.begin != w.end for w in windows):
            return self._padded(node, windows)
        if any(isinstance(w.begin, int) and 2 * w.begin > w.kernel for w in windows):
            return self._padded(node, windows)
        kernel = tuple(w.kernel for w in windows)
        arguments = [repeat(kernel)]
        # PyTorch's stride is the kernel by default, ONNX's is 1.
        if tuple(w.stride for w in windows) != kernel:
            arguments.append(f"stride={repeat(tuple(w.stride for w in windows))}")
        if any(w.begin != 0 for w in windows):
            arguments.append(f"padding={repeat(tuple(w.begin for w in windows))}")
            if average and not node.integer("count_include_pad", 0):
                arguments.append("count_include_pad=False")
        arguments += [a for a in window_arguments(windows) if a.startswith("dilation")]
        if node.integer("ceil_mode", 0):
            arguments.append("ceil_mode=True")
        return Source("{module}({0})", f"nn.{self.module}{len(windows)}d({', '.join(arguments)})")

    def _padded(self, node: Node, windows: tuple[AxisWindow, ...]) -> Source | None:
        """The pooling of an input that is padded beforehand, as far as its windows reach.

        None for averages in ceil mode that count the padding: of windows beyond the padding they
        count a part only; and for a maximum of whole numbers, of which none is below all.
        """
        average, counted = self.module == "AvgPool", bool(node.integer("count_include_pad", 0))
        if average and counted and node.integer("ceil_mode", 0):
            return None
        if not node.input(0).dtype.is_floating_point():
            return None
        out = (node.outputs[0].shape or ())[2:]
        sides: list[Size] = []
        for window, d, size in reversed(list(zip(windows, node.numbers()[2:], out, strict=True))):
            reached = (size - 1) * window.stride + window.reach
            sides += [window.begin, reached - window.begin - d]
        plain = [AxisWindow(w.kernel, w.stride, w.dilation) for w in windows]
        arguments = [a.replace("kernel_size=", "") for a in window_arguments(tuple(plain))]
        if "stride" not in "".join(arguments):
            arguments.append("stride=1")
        module = f"nn.{self.module}{len(windows)}d({', '.join(arguments)})"
        if not average:
            return Source(f"{{module}}(F.pad({{0}}, {sides}, value=-torch.inf))", module)
        call = f"{{module}}(F.pad({{0}}, {sides}))"
        if not counted:  # divided by the share of each window that lies in the input
            call += f" / {{module}}(F.pad(torch.ones_like({{0}}[:1, :1]), {sides}))"
        return Source(call, module)


def pool_windows(node: Node) -> tuple[AxisWindow, ...]:
    """The windows of a pooling on its spatial axes.

    Raises:
        ShapeError: It has no kernel.
    """
    kernel = node.integers("kernel_shape")
    if not kernel:
        raise node.fault("no kernel_shape")
    return windows_of(node, kernel)


def _taps(windows: tuple[AxisWindow, ...]) -> int:
    taps = 1
    for window in windows:
        taps *= window.kernel
    return taps
