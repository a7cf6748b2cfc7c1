"""The blocks that `UNet3d` is built of: norms, activations, double convolutions, upsampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

from volunet.plan import ActivationName, NormName, OutputActivation, Size3, Upsampling


class AnySizeInstanceNorm3d(nn.InstanceNorm3d):
    """Instance norm that also takes a single voxel.

    PyTorch refuses a (1, 1, 1) map even in eval mode. The norm of one voxel is well defined (its
    variance is 0, so the answer is the bias) and a deep level of a tiny scan has just that size;
    whether such a map may be *trained* on is `UNet3d`'s to say.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, D, H, W) → the same shape."""
        return torch.instance_norm(
            input, self.weight, self.bias, None, None, True, 0.0, self.eps, False
        )


class AnySizeGroupNorm(nn.GroupNorm):
    """Group norm that also takes a single value a group, which PyTorch refuses in eval mode too."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, D, H, W) → the same shape."""
        return torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


def _group_norm(channels: int) -> nn.Module:
    # 8 groups as nearly as the channels allow, but never one channel a group (instance norm).
    groups = max(g for g in range(1, 9) if channels % g == 0 and (channels // g > 1 or g == 1))
    return AnySizeGroupNorm(groups, channels)


NORMS: Final[dict[NormName, Callable[[int], nn.Module]]] = {
    "batch": nn.BatchNorm3d,
    "instance": lambda channels: AnySizeInstanceNorm3d(channels, affine=True),
    "group": _group_norm,
    "none": lambda _channels: nn.Identity(),
}

ACTIVATIONS: Final[dict[ActivationName, Callable[[], nn.Module]]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.01, inplace=True),
    "elu": lambda: nn.ELU(inplace=True),
    "gelu": nn.GELU,
}

OUTPUT_ACTIVATIONS: Final[dict[OutputActivation, Callable[[], nn.Module]]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(dim=1),
}


class ConvBlock(nn.Module):
    """Two convolutions, each with norm and activation; around them, if asked, a residual.

    x (N, in_channels, D, H, W), any D, H, W → (N, out_channels, D, H, W).

    Args:
        in_channels: Channels of x.
        out_channels: Channels of both convolutions.
        kernel: Kernel size, (D, H, W), odd, so that the size is kept.
        norm: Norm behind each convolution.
        activation: Activation behind each norm.
        residual: Add a 1×1×1 convolution of x to the block's answer.
        dropout: Probability with which whole channels are dropped behind the block.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: Size3 = (3, 3, 3),
        norm: NormName = "batch",
        activation: ActivationName = "relu",
        residual: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.conv1 = nn.Conv3d(in_channels, out_channels, kernel, padding=padding)
        self.norm1 = NORMS[norm](out_channels)
        self.activation1 = ACTIVATIONS[activation]()
        self.conv2 = nn.Conv3d(out_channels, out_channels, kernel, padding=padding)
        self.norm2 = NORMS[norm](out_channels)
        self.activation2 = ACTIVATIONS[activation]()
        self.residual = nn.Conv3d(in_channels, out_channels, 1) if residual else None
        self.dropout = nn.Dropout3d(dropout) if dropout > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Answer of the block, (N, out_channels, D, H, W)."""
        y = self.activation1(self.norm1(self.conv1(x)))
        y = self.activation2(self.norm2(self.conv2(y)))
        if self.residual is not None:
            y = y + self.residual(x)
        out: Tensor = self.dropout(y)
        return out


def make_upsampling(
    kind: Upsampling, in_channels: int, out_channels: int, stride: Size3
) -> nn.Module:
    """A module that multiplies each axis by its stride.

    x (N, in_channels, D, H, W) → (N, out_channels, D·s₀, H·s₁, W·s₂).

    Args:
        kind: ``transposed``: kernel = stride, so that each output voxel has one weight;
            ``transposed_dilated``: the notes' kernel 2, dilation 2, padding 1, output padding 1
            (an axis of stride 1 has kernel 1); ``trilinear``: resize, then a 3×3×3 convolution.
        in_channels: Channels of x.
        out_channels: Channels of the answer.
        stride: Factor on each axis, (D, H, W).

    Source:
        Output size (d − 1)·s − 2·p + dilation·(k − 1) + output padding + 1:
        https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose3d.html
    """
    if kind == "trilinear":
        return nn.Sequential(
            nn.Upsample(
                scale_factor=tuple(float(s) for s in stride), mode="trilinear", align_corners=False
            ),
            nn.Conv3d(in_channels, out_channels, 3, padding=1),
        )
    if kind == "transposed":
        return nn.ConvTranspose3d(in_channels, out_channels, stride, stride=stride)
    return nn.ConvTranspose3d(
        in_channels,
        out_channels,
        kernel_size=stride,  # 2 on a doubled axis, 1 on a kept one; so are the numbers below
        stride=stride,
        dilation=stride,
        padding=_less_one(stride),
        output_padding=_less_one(stride),
    )


def _less_one(stride: Size3) -> Size3:
    return stride[0] - 1, stride[1] - 1, stride[2] - 1
