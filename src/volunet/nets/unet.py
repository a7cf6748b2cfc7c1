"""`UNet3d`: a 3D U-Net that takes a volume of any size, trained or exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from volunet.errors import ConfigError, ShapeError
from volunet.nets.alignment import center_crop, center_pad, crop_end, pad_end
from volunet.nets.blocks import OUTPUT_ACTIVATIONS, ConvBlock, make_upsampling
from volunet.plan import (
    ActivationName,
    Alignment,
    NormName,
    OutputActivation,
    Size3,
    Upsampling,
    total_stride,
)


class UNet3d(nn.Module):
    """A 3D U-Net for volumes of any size.

    x (N, in_channels, D, H, W), any D, H, W from 1 up → logits (N, out_channels, D′, H′, W′).
    With ``pad_input`` and ``pad`` the output has the input's size. With ``crop`` an axis of d
    voxels answers the middle ⌊d / m⌋·m of them, m being the product of the axis' strides (16 by
    default); an axis of d < m voxels answers all d.

    Args:
        in_channels: Channels of x.
        out_channels: Channels of the answer.
        features: Channels of each level from the top down; one level more than poolings.
        kernels: Kernel of each level's convolutions, (D, H, W), odd; 3×3×3 where not given.
        strides: Pooling between each level and the next, (D, H, W); 2×2×2 where not given.
        alignment: How skip and decoder come to one size. ``pad_input``: x is padded with zeros
            behind its last voxel to multiples of m and the answer cropped back; ``pad``: the
            decoder's tensor is padded to the skip's size; ``crop``: the skip is cropped to the
            decoder's. With the last two, only an axis shorter than m is padded (to m).
        upsampling: See `volunet.nets.blocks.make_upsampling`.
        norm: ``batch``, ``instance``, ``group`` or ``none``.
        activation: Behind each norm.
        output_activation: Behind the last 1×1×1 convolution.
        residual: A 1×1×1 convolution around each block.
        dropout: Probability with which a block's channels are dropped in training, from 0 to below
            1; one for all blocks, or one for each level from the top down, of the encoder's block
            and the decoder's.
        deep_supervision: In train mode, answer a list: the logits, then those of each lower
            decoder level, resized to the logits' size. In eval mode this changes nothing.

    Raises:
        ConfigError: The arguments do not fit one another.

    Source:
        U-Net, https://arxiv.org/abs/1505.04597; in 3D, https://arxiv.org/abs/1606.06650.

    Example:
        >>> net = UNet3d(1, 2, features=(4, 8, 16)).eval()
        >>> tuple(net(torch.zeros(1, 1, 7, 11, 1)).shape)
        (1, 2, 7, 11, 1)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: Sequence[int] = (32, 64, 128, 256, 512),
        *,
        kernels: Sequence[Size3] | None = None,
        strides: Sequence[Size3] | None = None,
        alignment: Alignment = "pad_input",
        upsampling: Upsampling = "transposed",
        norm: NormName = "batch",
        activation: ActivationName = "relu",
        output_activation: OutputActivation = "none",
        residual: bool = False,
        dropout: float | Sequence[float] = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        levels = len(features)
        kernels = [(3, 3, 3)] * levels if kernels is None else list(kernels)
        strides = [(2, 2, 2)] * (levels - 1) if strides is None else list(strides)
        dropouts = [dropout] * levels if isinstance(dropout, int | float) else list(dropout)
        _check_arguments(features, kernels, strides, upsampling)
        _check_dropouts(dropouts, levels)
        _check_choice("alignment", alignment, Alignment)
        _check_choice("upsampling", upsampling, Upsampling)
        _check_choice("norm", norm, NormName)
        _check_choice("activation", activation, ActivationName)
        _check_choice("output_activation", output_activation, OutputActivation)
        self.alignment = alignment
        self.norm = norm
        self.deep_supervision = deep_supervision
        self.total_stride = total_stride(strides)

        def block(channels_in: int, level: int) -> ConvBlock:
            return ConvBlock(
                channels_in,
                features[level],
                kernel=kernels[level],
                norm=norm,
                activation=activation,
                residual=residual,
                dropout=dropouts[level],
            )

        inputs = (in_channels, *features[:-1])
        self.encoders = nn.ModuleList(block(inputs[level], level) for level in range(levels))
        self.pools = nn.ModuleList(nn.MaxPool3d(stride) for stride in strides)
        # Decoder modules are listed by level, 0 on top, as the encoder's are.
        self.upsamplings = nn.ModuleList(
            make_upsampling(upsampling, features[level + 1], features[level], strides[level])
            for level in range(levels - 1)
        )
        self.decoders = nn.ModuleList(
            block(2 * features[level], level) for level in range(levels - 1)
        )
        self.head = nn.Conv3d(features[0], out_channels, 1)
        self.side_heads = nn.ModuleList(
            nn.Conv3d(features[level], out_channels, 1)
            for level in range(1, levels - 1 if deep_supervision else 1)
        )
        self.output_activation = OUTPUT_ACTIVATIONS[output_activation]()

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits, or in train mode with deep supervision a list of them.

        Raises:
            ShapeError: In train mode, a norm has one value a channel to take statistics of.
        """
        size = x.shape[2:]
        x = self._pad(x)
        if self.training:
            self._check_statistics(x)
        skips = []
        for encoder, pool in zip(self.encoders, self.pools, strict=False):
            x = encoder(x)
            skips.append(x)
            x = pool(x)
        x = self.encoders[-1](x)

        sides = []
        for level in reversed(range(len(skips))):
            if self.training and self.deep_supervision and 1 <= level + 1 < len(skips):
                sides.append(self.side_heads[level](x))
            x = self.upsamplings[level](x)
            skip = skips[level]
            if self.alignment == "crop":
                skip = center_crop(skip, x.shape[2:])
            elif self.alignment == "pad":
                x = center_pad(x, skip.shape[2:])
            x = self.decoders[level](torch.cat([skip, x], dim=1))
        logits = self.output_activation(self.head(x))
        full = logits.shape[2:]
        logits = self._crop(logits, size)
        if not (self.training and self.deep_supervision):
            return logits
        resized = (F.interpolate(side, size=full, mode="trilinear") for side in reversed(sides))
        return [logits, *(self._crop(self.output_activation(side), size) for side in resized)]

    def _pad(self, x: Tensor) -> Tensor:
        pairs = list(zip(x.shape[2:], self.total_stride, strict=True))
        if self.alignment == "pad_input":
            return pad_end(x, [(d + m - 1) // m * m for d, m in pairs])
        least = [torch.sym_max(d, m) for d, m in pairs]  # type: ignore[no-untyped-call]
        return pad_end(x, least)

    def _crop(self, y: Tensor, size: Sequence[int]) -> Tensor:
        if self.alignment == "crop":
            pairs = zip(size, y.shape[2:], strict=True)
            size = [torch.sym_min(d, have) for d, have in pairs]  # type: ignore[no-untyped-call]
        return crop_end(y, size)

    def _check_statistics(self, x: Tensor) -> None:
        """Refuse a batch whose deepest level has one value a channel: its variance is nothing."""
        if self.norm not in ("batch", "instance"):
            return
        voxels = 1
        for d, m in zip(x.shape[2:], self.total_stride, strict=True):
            voxels *= d // m
        values = voxels * (x.shape[0] if self.norm == "batch" else 1)
        if values > 1:
            return
        longest = max(range(3), key=lambda axis: self.total_stride[axis])
        least = 2 * self.total_stride[longest]
        need = least if self.alignment != "pad_input" else least // 2 + 1
        batch = " or at least 2 volumes in a batch" if self.norm == "batch" else ""
        raise ShapeError(
            "UNet3d in train mode",
            f"a batch of {x.shape[0]} that is 1×1×1 at the deepest level",
            f"{self.norm} norm needs 2 values a channel there: at least {need} voxels on axis "
            f"{'DHW'[longest]}{batch}",
            "Train on larger patches, or with norm='group'.",
        )


def _check_choice(name: str, value: object, kind: object) -> None:
    if value not in get_args(kind):
        raise ConfigError(
            f"UNet3d({name}={value!r})",
            "no such choice",
            f"{name} is one of {', '.join(get_args(kind))}",
            "Take one of these.",
        )


def _check_arguments(
    features: Sequence[int],
    kernels: Sequence[Size3],
    strides: Sequence[Size3],
    upsampling: Upsampling,
) -> None:
    where = "UNet3d"
    if not features or min(features) < 1:
        raise ConfigError(
            where,
            f"features {tuple(features)}",
            "features lists the channels of at least one level, each at least 1.",
            "For instance features=(32, 64, 128).",
        )
    if len(kernels) != len(features) or len(strides) != len(features) - 1:
        raise ConfigError(
            where,
            f"{len(features)} features, {len(kernels)} kernels, {len(strides)} strides",
            "There is a kernel for each level and a stride between each level and the next.",
            "Give as many kernels as features, and one stride fewer.",
        )
    if any(k < 1 or k % 2 == 0 for kernel in kernels for k in kernel):
        raise ConfigError(
            where,
            f"kernels {tuple(kernels)}",
            "Kernels are odd, so that a convolution keeps the size.",
            "For instance (1, 3, 3) for scans with thick slices.",
        )
    largest = 2 if upsampling == "transposed_dilated" else None
    if any(s < 1 or (largest and s > largest) for stride in strides for s in stride):
        raise ConfigError(
            where,
            f"strides {tuple(strides)} with {upsampling} upsampling",
            f"Strides are at least 1{f' and at most {largest}' if largest else ''}.",
            "For instance (1, 2, 2) for scans with thick slices.",
        )


def _check_dropouts(dropouts: Sequence[float], levels: int) -> None:
    if len(dropouts) != levels:
        raise ConfigError(
            "UNet3d",
            f"{levels} features, {len(dropouts)} dropouts",
            "Dropout is one number for all levels, or one for each, the lowest included.",
            "Give as many as features, or a single number.",
        )
    if not all(0 <= probability < 1 for probability in dropouts):
        raise ConfigError(
            "UNet3d",
            f"dropout {tuple(dropouts)}",
            "Probabilities are at least 0 and below 1: at 1 nothing would be left.",
            "For instance 0.1, or (0, 0, 0.1, 0.2, 0.3) for 5 levels.",
        )
