"""Convolutions whose weights' gradient PyTorch gets wrong in bfloat16 on the CPU, in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def float32_where_thin(network: nn.Module) -> None:
    """Have a network compute in float32 what autocast to bfloat16 would spoil on the CPU.

    Where a map has fewer slices than the kernel, such as 2 under a kernel of 3, oneDNN (in PyTorch
    2.13, with AVX-512's bfloat16) leaves parts of the gradient by the weights as the memory was:
    no number at times, at others only wrong. Deep levels of thin patches are such maps. Height and
    width are not concerned. Of one slice only the first convolution was seen to be; all are spared.

    Args:
        network: Its 3D convolutions are changed in place; weights and their names stay.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1:
            spared = _Spared(module.kernel_size[0])
            module.register_forward_pre_hook(spared.begin)
            module.register_forward_hook(spared.end, always_call=True)


class _Spared:
    """Turns autocast off around a convolution, where its input is thin."""

    def __init__(self, kernel: int) -> None:
        self._kernel = kernel
        self._was_on = False

    def begin(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x: Tensor = inputs[0]
        thin = x.shape[2] < self._kernel
        self._was_on = thin and x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if not self._was_on:
            return inputs
        torch.set_autocast_enabled("cpu", False)
        return (x.float(),)

    def end(self, _: nn.Module, inputs: Any, answer: Tensor) -> None:
        if self._was_on:
            torch.set_autocast_enabled("cpu", True)
