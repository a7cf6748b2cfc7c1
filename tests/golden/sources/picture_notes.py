"""The network of a picture. Weights are not in a picture: these are fresh ones."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class DoubleConv(nn.Sequential):
    """x (N, in_channels, D, H, W) → (N, out_channels, D, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        layers: list[nn.Module] = []
        for inputs in (in_channels, out_channels):
            layers += [nn.Conv3d(inputs, out_channels, 3, padding=1), nn.ReLU()]
        super().__init__(*layers)


class Down(nn.Sequential):
    """x (N, in_channels, D, H, W) → (N, out_channels, ⌊D/2⌋, ⌊H/2⌋, ⌊W/2⌋)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.MaxPool3d(2), DoubleConv(in_channels, out_channels))


class Up(nn.Module):
    """x (N, in_channels, D, H, W) and skip → (N, out_channels, D′, H′, W′)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(
            in_channels, out_channels, 2, stride=2, padding=1, output_padding=1, dilation=2
        )
        self.double_conv = DoubleConv(in_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.double_conv(torch.cat([skip, self.up(x)], dim=1))


class Output(nn.Sequential):
    """x (N, in_channels, D, H, W) → (N, out_channels, D, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv3d(in_channels, out_channels, 1), nn.ReLU())


class UNet(nn.Module):
    """x (N, 1, D, H, W) → (N, 1, D, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, features: tuple[int, ...]) -> None:
        super().__init__()
        self.double_conv = DoubleConv(in_channels, features[0])
        self.downs = nn.ModuleList([Down(i, o) for i, o in pairwise(features)])
        self.ups = nn.ModuleList([Up(i, o) for i, o in pairwise(features[::-1])])
        self.output = Output(features[0], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.double_conv(x)
        skips: list[Tensor] = []
        for down in self.downs:
            skips.append(x)
            x = down(x)
        for up in self.ups:
            x = up(x, skips.pop())
        return self.output(x)


def build() -> UNet:
    """Build the network with fresh weights."""
    return UNet(in_channels=1, out_channels=1, features=(4, 8, 16))
