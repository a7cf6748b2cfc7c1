"""The network of an ONNX file."""

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """x (N, in_channels, H, W) → (N, C, H, W)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(in_channels, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.convs(x)], dim=1)


class Stage(nn.Sequential):
    """x (N, in_channels, H, W) → (N, C, H, W)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(*(DenseLayer(in_channels + 4 * index) for index in range(3)))


class Output(nn.Sequential):
    """x (N, in_channels, H, W) → (N, out_channels, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels, 1), nn.Sigmoid())


class Network(nn.Module):
    """x (N, 1, H, W) → (N, 1, H′, W′)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(in_channels, 8, 3, padding=1), nn.ReLU())
        self.stage = Stage(8)
        self.conv2 = nn.Sequential(nn.Conv2d(20, 10, 1), nn.ReLU(), nn.MaxPool2d(2))
        self.stage2 = Stage(10)
        self.output = Output(22, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage2(self.conv2(self.stage(self.conv(x))))
        return self.output(x)


def build() -> Network:
    """Build the network with fresh weights."""
    return Network(in_channels=1, out_channels=1)


def load(path: str) -> Network:
    """Build the network with the weights of a file, such as dense.safetensors."""
    network = build()
    network.load_state_dict(load_file(path))
    return network.eval()
