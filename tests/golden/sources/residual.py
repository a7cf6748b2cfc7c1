"""The network of an ONNX file."""

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn


class ConvBlocks(nn.Sequential):
    """x (N, in_channels, H, W) → (N, out_channels, H′, W′)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
        )


class ResidualStage(nn.Module):
    """x (N, in_channels, H, W), skip (N, in_channels, H, W) → (N, in_channels, H, W)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv_blocks = ConvBlocks(in_channels, in_channels, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.relu(x + skip)
        return F.relu(self.conv_blocks(x) + x)


class Down(nn.Module):
    """x (N, in_channels, H, W) → (N, out_channels, ⌈H/2⌉, ⌈W/2⌉)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_blocks = ConvBlocks(in_channels, out_channels, 2)
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride=2), nn.BatchNorm2d(out_channels)
        )
        self.residual_stage = ResidualStage(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.residual_stage(self.conv_blocks(x), self.conv(x))


class Output(nn.Sequential):
    """x (N, in_channels, H, W) → (N, out_channels)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, out_channels)
        )


class Network(nn.Module):
    """x (N, 3, H, W) → (N, 5)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, 4, 7, stride=2, padding=3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.conv_blocks = ConvBlocks(4, 4, 1)
        self.residual_stage = ResidualStage(4)
        self.downs = nn.Sequential(
            *(Down(inputs, outputs) for inputs, outputs in ((4, 8), (8, 16)))
        )
        self.output = Output(16, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.downs(self.residual_stage(self.conv_blocks(x), x))
        return self.output(x)


def build() -> Network:
    """Build the network with fresh weights."""
    return Network(in_channels=3, out_channels=5)


def load(path: str) -> Network:
    """Build the network with the weights of a file, such as residual.safetensors."""
    network = build()
    network.load_state_dict(load_file(path))
    return network.eval()
