"""The network of an ONNX file."""

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


class ConvBlock(nn.Sequential):
    """x (N, in_channels, H, W) → (N, out_channels, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2), nn.ReLU()
        )


class Branches(nn.Module):
    """x (N, in_channels, H, W) → (N, C, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_block = ConvBlock(in_channels, out_channels, 1)
        self.convs = nn.Sequential(
            ConvBlock(in_channels, out_channels, 1), ConvBlock(out_channels, 2 * out_channels, 3)
        )
        self.convs2 = nn.Sequential(
            ConvBlock(in_channels, out_channels, 1), ConvBlock(out_channels, out_channels, 5)
        )
        self.conv = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), ConvBlock(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.conv_block(x), self.convs(x), self.convs2(x), self.conv(x)], dim=1)


class Network(nn.Module):
    """x (N, 3, H, W) → (N, 4, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_block = ConvBlock(in_channels, 8, 3)
        self.branches = nn.Sequential(
            *[
                Branches(inputs, outputs)
                for inputs, outputs in zip((8, 20, 20), (4, 4, 8), strict=True)
            ]
        )
        self.conv = nn.Conv2d(40, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.branches(self.conv_block(x)))


def build() -> Network:
    """Build the network with fresh weights."""
    return Network(in_channels=3, out_channels=4)


def load(path: str) -> Network:
    """Build the network with the weights of a file, such as inception.safetensors."""
    network = build()
    network.load_state_dict(load_file(path))
    return network.eval()
