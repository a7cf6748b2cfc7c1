"""The network of a picture. Weights are not in a picture: these are fresh ones."""

import torch
from torch import Tensor, nn


class DoubleConv(nn.Sequential):
    """x (N, in_channels, D, H, W) → (N, out_channels, D, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        layers: list[nn.Module] = []
        for inputs in (in_channels, out_channels):
            layers += [
                nn.Conv3d(inputs, out_channels, 3, padding=1),
                nn.InstanceNorm3d(out_channels, affine=True),
                nn.LeakyReLU(),
            ]
        super().__init__(*layers)


class Output(nn.Sequential):
    """x (N, in_channels, D, H, W) → (N, out_channels, D, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv3d(in_channels, out_channels, 1), nn.Softmax(dim=1))


class Network(nn.Module):
    """x (N, 1, D, H, W) → (N, 2, D, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.double_conv = DoubleConv(in_channels, 4)
        self.pool = nn.MaxPool3d(2)
        self.double_conv2 = DoubleConv(4, 8)
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="trilinear"), nn.Conv3d(8, 4, 3, padding=1)
        )
        self.double_conv3 = DoubleConv(8, 4)
        self.output = Output(4, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.double_conv(x)
        x = torch.cat([x, self.up(self.double_conv2(self.pool(x)))], dim=1)
        return self.output(self.double_conv3(x))


def build() -> Network:
    """Build the network with fresh weights."""
    return Network(in_channels=1, out_channels=2)
