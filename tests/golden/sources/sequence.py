"""The network of an ONNX file."""

from safetensors.torch import load_file
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """x (N, 8, L) → (N, 8, L)."""

    def __init__(self, padding: int, dilation: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv1d(8, 8, 3, padding=padding, dilation=dilation), nn.ReLU(), nn.Conv1d(8, 8, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.convs(x)


class Output(nn.Sequential):
    """x (N, in_channels, L) → (N, out_channels, L)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv1d(in_channels, out_channels, 1), nn.Softmax(dim=1))


class Network(nn.Module):
    """x (N, 2, L) → (N, 3, L)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, 8, 1)
        self.residual_blocks = nn.Sequential(
            *[ResidualBlock(padding, padding) for padding in (1, 2, 4, 8)]
        )
        self.output = Output(8, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.residual_blocks(self.conv(x)))


def build() -> Network:
    """Build the network with fresh weights."""
    return Network(in_channels=2, out_channels=3)


def load(path: str) -> Network:
    """Build the network with the weights of a file, such as sequence.safetensors."""
    network = build()
    network.load_state_dict(load_file(path))
    return network.eval()
