"""Max and average pooling."""

from __future__ import annotations

from onnx_ir import DataType

from volunet.graph.node import Node
from volunet.graph.operators.conv import window_arguments
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Role,
    SizeWriter,
    Source,
    element_flops,
)
from volunet.graph.operators.windows import AxisWindow, repeat, windows_of
from volunet.graph.sizes import Size
from volunet.graph.spans import Pointwise
from volunet.graph.tensors import Tensor


class Pool(Operator):
    """``MaxPool``, ``AveragePool`` and ``LpPool``, floor and ceil mode.

    Size on each axis: ⌊(d + begin + end − dilation·(kernel − 1) − 1) / stride⌋ + 1; in ceil mode
    ⌈ ⌉ instead of ⌊ ⌋, and at most ⌈(d + begin) / stride⌉: no window begins in the padding behind.

    Args:
        module: PyTorch's module without ``1d``, ``2d`` or ``3d``.

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
        """``nn.MaxPool3d``, ``nn.AvgPool3d`` or ``nn.LPPool3d``.

        Behind ``F.pad`` where PyTorch does not take the padding: it differs front and back, is a
        formula or more than half of the kernel. None where PyTorch has no dilation.
        """
        windows = pool_windows(node)
        average = self.module == "AvgPool"
        if self.module != "MaxPool" and any(w.dilation != 1 for w in windows):
            return None
        if self.module == "LPPool":
            return self._powered(node, windows)
        if any(not w.has_torch_padding for w in windows):
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
        writer = SizeWriter()
        sides = f"[{writer.listed(_sides(node, windows))}]"
        module = f"nn.{self.module}{len(windows)}d({', '.join(_unpadded(windows))})"
        call = f"{{module}}(F.pad({{0}}, {sides}, value=-torch.inf))"
        if average:
            call = f"{{module}}(F.pad({{0}}, {sides}))"
        if average and not counted:  # divided by the share of each window that lies in the input
            call += f" / {{module}}(F.pad(torch.ones_like({{0}}[:1, :1]), {sides}))"
        return Source(call, module, sizes=writer.formulas)

    def _powered(self, node: Node, windows: tuple[AxisWindow, ...]) -> Source:
        """The root of a sum of powers, of zeros where the input is padded."""
        power = node.count("p", 2)
        given = "torch.abs({0})" if power % 2 else "{0}"
        writer = SizeWriter()
        sides = _sides(node, windows)
        if any(side != 0 for side in sides):
            given = f"F.pad({given}, [{writer.listed(sides)}])"
        arguments = ", ".join([str(power), *_unpadded(windows)])
        module = f"nn.LPPool{len(windows)}d({arguments})"
        return Source(f"{{module}}({given})", module, sizes=writer.formulas)


def pool_windows(node: Node) -> tuple[AxisWindow, ...]:
    """The windows of a pooling on its spatial axes.

    Raises:
        ShapeError: It has no kernel.
    """
    kernel = node.integers("kernel_shape")
    if not kernel:
        raise node.fault("no kernel_shape")
    return windows_of(node, kernel)


def _sides(node: Node, windows: tuple[AxisWindow, ...]) -> list[Size]:
    """Padding as `F.pad` takes it, the last axis first; in ceil mode as far as windows reach."""
    out = (node.outputs[0].shape or ())[2:]
    sides: list[Size] = []
    for window, d, size in reversed(list(zip(windows, node.shape()[2:], out, strict=True))):
        end = window.end
        if node.integer("ceil_mode", 0):
            end = (size - 1) * window.stride + window.reach - window.begin - d
        sides += [window.begin, end]
    return sides


def _unpadded(windows: tuple[AxisWindow, ...]) -> list[str]:
    """Arguments of a pooling without padding; PyTorch's stride is the kernel by default."""
    plain = tuple(AxisWindow(w.kernel, w.stride, w.dilation) for w in windows)
    arguments = [a.replace("kernel_size=", "") for a in window_arguments(plain)]
    return arguments if any(w.stride != 1 for w in windows) else [*arguments, "stride=1"]


def _taps(windows: tuple[AxisWindow, ...]) -> int:
    taps = 1
    for window in windows:
        taps *= window.kernel
    return taps
