"""The networks of papers, at moderate widths; each says what differs from its paper."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNorm(nn.Sequential):
    """Convolution that keeps the size (of an odd kernel), batch norm, activation."""

    def __init__(
        self, inside: int, outside: int, kernel: int = 3, stride: int = 1, groups: int = 1,
        activation: Callable[[], nn.Module] | None = nn.ReLU,
        *, dims: int = 2,
    ) -> None:  # fmt: skip
        conv = (nn.Conv1d, nn.Conv2d)[dims - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d)[dims - 1]
        padding = kernel // 2
        parts = [
            conv(inside, outside, kernel, stride, padding, groups=groups, bias=False),
            norm(outside),
        ]
        super().__init__(*parts, *([activation()] if activation else []))


def lenet5() -> nn.Module:
    """LeCun 1998: tanh and average pooling; the last layer is linear instead of radial."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(),
        nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


def alexnet() -> nn.Module:
    """Krizhevsky 2012, two groups and local response norms; a third of the width, 512 hidden."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 11, 4, 2), nn.ReLU(), nn.LocalResponseNorm(5, 1e-4, 0.75, 2.0),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(32, 80, 5, padding=2, groups=2), nn.ReLU(),
        nn.LocalResponseNorm(5, 1e-4, 0.75, 2.0), nn.MaxPool2d(3, 2),
        nn.Conv2d(80, 128, 3, padding=1), nn.ReLU(),
        nn.Conv2d(128, 128, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(128, 80, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Dropout(), nn.Linear(80 * 2 * 2, 512), nn.ReLU(),
        nn.Dropout(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10), nn.Softmax(dim=1),
    )  # fmt: skip


class Vgg16(nn.Module):
    """Simonyan 2014, configuration D: 13 convolutions and 3 linear layers; half the width."""

    def __init__(self, width: int = 32, hidden: int = 256) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for factor, convolutions in ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)):
            for _ in range(convolutions):
                layers += [nn.Conv2d(inside, width * factor, 3, padding=1), nn.ReLU(inplace=True)]
                inside = width * factor
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(inside * 2 * 2, hidden), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(hidden, 10),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 64, 64) → logits (N, 10)."""
        scores: Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return scores


class Inception(nn.Module):
    """Four branches side by side: 1×1; 1×1 and 3×3; 1×1 and 5×5; pooling and 1×1."""

    def __init__(self, inside: int, ones: int, threes: tuple[int, int], fives: tuple[int, int],
                 pooled: int, layer: Callable[..., nn.Module]) -> None:  # fmt: skip
        super().__init__()
        self.ones = layer(inside, ones, 1)
        self.threes = nn.Sequential(layer(inside, threes[0], 1), layer(*threes, 3))
        self.fives = nn.Sequential(layer(inside, fives[0], 1), layer(*fives, 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), layer(inside, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The branches' channels, one behind another."""
        return torch.cat([self.ones(x), self.threes(x), self.fives(x), self.pooled(x)], 1)


def _conv_relu(inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inside, outside, kernel, stride, kernel // 2), nn.ReLU())


class GoogLeNet(nn.Module):
    """Szegedy 2014, table 1, at half the width; with batch norms instead of local ones if asked.

    In train mode it answers those of its two auxiliary classifiers, too (linear ones, no dropout).
    """

    def __init__(self, *, batch_norm: bool = False, auxiliary: bool = False) -> None:
        super().__init__()
        layer: Callable[..., nn.Module] = ConvNorm if batch_norm else _conv_relu
        norm = nn.Identity if batch_norm else partial(nn.LocalResponseNorm, 5)
        down = partial(nn.MaxPool2d, 3, 2, 1)
        self.stem = nn.Sequential(
            layer(3, 32, 7, 2), down(), norm(), layer(32, 32, 1), layer(32, 96, 3), norm(), down()
        )
        block = partial(Inception, layer=layer)
        self.three = nn.Sequential(
            block(96, 32, (48, 64), (8, 16), 16), block(128, 64, (64, 96), (16, 48), 32), down()
        )
        self.four_a = block(240, 96, (48, 104), (8, 24), 32)
        self.four_bcd = nn.Sequential(
            block(256, 80, (56, 112), (12, 32), 32), block(256, 64, (64, 128), (12, 32), 32),
            block(256, 56, (72, 144), (16, 32), 32),
        )  # fmt: skip
        self.four_e = nn.Sequential(block(264, 128, (80, 160), (16, 64), 64), down())
        self.five = nn.Sequential(
            block(416, 128, (80, 160), (16, 64), 64), block(416, 192, (96, 192), (24, 64), 64)
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.0 if auxiliary else 0.4),
            nn.Linear(512, 10),
        )  # fmt: skip
        self.auxiliary = nn.ModuleList(
            nn.Sequential(
                layer(inside, 64, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
            )
            for inside in ((256, 264) if auxiliary else ())
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(N, 3, H, W) → logits (N, 10)."""
        first = self.four_a(self.three(self.stem(x)))
        second = self.four_bcd(first)
        logits: Tensor = self.head(self.five(self.four_e(second)))
        if not self.training or not self.auxiliary:
            return logits
        one, two = self.auxiliary
        return logits, one(first), two(second)


def mobilenet_v1() -> nn.Module:
    """Howard 2017, table 1, width multiplier 0.25."""
    parts: list[nn.Module] = [ConvNorm(3, 8, 3, 2)]
    inside = 8
    for outside, stride in ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2),
                            *[(128, 1)] * 5, (256, 2), (256, 1)):  # fmt: skip
        parts += [ConvNorm(inside, inside, 3, stride, inside), ConvNorm(inside, outside, 1)]
        inside = outside
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 10))


class InvertedResidual(nn.Module):
    """Widen, convolve by channel, narrow; around it, where the size stays, the input."""

    def __init__(self, inside: int, outside: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inside * expansion
        relu6 = partial(nn.ReLU6, inplace=True)
        widen = [ConvNorm(inside, hidden, 1, activation=relu6)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *widen,
            ConvNorm(hidden, hidden, 3, stride, hidden, relu6),
            ConvNorm(hidden, outside, 1, activation=None),
        )
        self.adds = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, outside, H / stride, W / stride)."""
        out: Tensor = x + self.layers(x) if self.adds else self.layers(x)
        return out


class MobileNetV2(nn.Module):
    """Sandler 2018, table 2, width multiplier 0.5."""

    def __init__(self) -> None:
        super().__init__()
        relu6 = partial(nn.ReLU6, inplace=True)
        parts: list[nn.Module] = [ConvNorm(3, 16, 3, 2, activation=relu6)]
        inside = 16
        for expansion, outside, repeats, stride in (
            (1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1),
            (6, 80, 3, 2), (6, 160, 1, 1),
        ):  # fmt: skip
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                parts.append(InvertedResidual(inside, outside, step, expansion))
                inside = outside
        self.features = nn.Sequential(*parts, ConvNorm(inside, 640, 1, activation=relu6))
        self.classifier = nn.Linear(640, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → logits (N, 10)."""
        scores: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return scores


class Fire(nn.Module):
    """Squeeze by 1×1, widen by 1×1 and 3×3 side by side."""

    def __init__(self, inside: int, squeezed: int, widened: int) -> None:
        super().__init__()
        self.squeeze = _conv_relu(inside, squeezed, 1)
        self.one = _conv_relu(squeezed, widened, 1)
        self.three = _conv_relu(squeezed, widened, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, 2 · widened, H, W)."""
        x = self.squeeze(x)
        return torch.cat([self.one(x), self.three(x)], 1)


def squeezenet() -> nn.Module:
    """Iandola 2016, table 1, at half the width; it pools with ceil mode and has no linear layer."""
    pool = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)
    return nn.Sequential(
        nn.Conv2d(3, 48, 7, 2), nn.ReLU(), pool(),
        Fire(48, 8, 32), Fire(64, 8, 32), Fire(64, 16, 64), pool(),
        Fire(128, 16, 64), Fire(128, 24, 96), Fire(192, 24, 96), Fire(192, 32, 128), pool(),
        Fire(256, 32, 128), nn.Conv2d(256, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


class ShuffleUnit(nn.Module):
    """ShuffleNet v2's unit: half of the channels is convolved, then the halves are interleaved."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            ConvNorm(half, half, 1), ConvNorm(half, half, 3, 1, half, None), ConvNorm(half, half, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        kept, changed = x.chunk(2, 1)
        number, channels, height, width = x.shape
        y = torch.cat([kept, self.branch(changed)], 1)
        y = y.view(number, 2, channels // 2, height, width).transpose(1, 2)
        return y.reshape(number, channels, height, width)


def shufflenet() -> nn.Module:
    """Ma 2018, the units of stride 1; a strided convolution between the stages."""
    stages = [
        nn.Sequential(ConvNorm(a, b, 3, 2), *(ShuffleUnit(b) for _ in range(3)))
        for a, b in ((24, 48), (48, 96), (96, 192))
    ]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, 10)]
    return nn.Sequential(ConvNorm(3, 24, 3, 2), *stages, *head)


class ConvNextBlock(nn.Module):
    """Convolve by channel, layer norm over channels, two linear layers with GELU, scale, add."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.widen = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(F.gelu(self.widen(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    """Liu 2022, stages of 2, 2, 4 and 2 blocks, 24 to 192 channels; group norm between stages."""
    parts: list[nn.Module] = [nn.Conv2d(3, 24, 4, 4)]
    for level, blocks in enumerate((2, 2, 4, 2)):
        channels = 24 * 2**level
        if level:
            parts += [nn.GroupNorm(1, channels // 2), nn.Conv2d(channels // 2, channels, 2, 2)]
        parts += [ConvNextBlock(channels) for _ in range(blocks)]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, 10))


class UNet2015(nn.Module):
    """Ronneberger 2015: convolutions without padding, skips cropped; an eighth of the width."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.downs = nn.ModuleList(map(self._double, [1, *widths[:-1]], widths))
        self.pool = nn.MaxPool2d(2)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[-2::-1])
        self.decoders = nn.ModuleList(self._double(2 * w, w) for w in widths[-2::-1])
        self.head = nn.Conv2d(width, 2, 1)

    @staticmethod
    def _double(inside: int, outside: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inside, outside, 3), nn.ReLU(), nn.Conv2d(outside, outside, 3), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 188, 188) → logits (N, 2, 4, 4)."""
        skips = []
        for down in self.downs[:-1]:
            skips.append(down(x))
            x = self.pool(skips[-1])
        x = self.downs[-1](x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x, skip = up(x), skips.pop()
            top, left = (
                (have - want) // 2 for have, want in zip(skip.shape[2:], x.shape[2:], strict=True)
            )
            skip = skip[:, :, top : top + x.shape[2], left : left + x.shape[3]]
            x = decoder(torch.cat([skip, x], 1))
        logits: Tensor = self.head(x)
        return logits


class Aspp(nn.Module):
    """DeepLab v3's head (Chen 2017) on four strided layers; resized to the input's size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*(ConvNorm(a, b, 3, 2) for a, b in ((3, 16), (16, 32), (32, 64))))
        self.ones = ConvNorm(64, 32, 1)
        self.dilated = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(64, 32, 3, padding=rate, dilation=rate, bias=False),
                nn.BatchNorm2d(32), nn.ReLU(),
            )
            for rate in (2, 4, 6)
        )  # fmt: skip
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(64, 32, 1), nn.ReLU())
        self.project = nn.Sequential(ConvNorm(160, 32, 1), nn.Conv2d(32, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → probabilities (N, 4, H, W)."""
        y = self.stem(x)
        whole = F.interpolate(self.whole(y), y.shape[2:], mode="nearest")
        y = torch.cat([self.ones(y), *(branch(y) for branch in self.dilated), whole], 1)
        y = F.interpolate(self.project(y), x.shape[2:], mode="bilinear", align_corners=False)
        return torch.softmax(y, 1)


class FeaturePyramid(nn.Module):
    """Lin 2016: a top-down path, nearest-neighbour, beside a strided one; three answers."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvNorm(a, b, 3, 2), ConvNorm(b, b))
            for a, b in zip((3, 16, 32), widths, strict=True)
        )
        self.sides = nn.ModuleList(nn.Conv2d(w, 24, 1) for w in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(24, 8, 3, padding=1) for _ in widths)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) → (N, 8, …) at a half, a quarter and an eighth of the size."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        top = self.sides[2](maps[2])
        tops = [top]
        for level in (1, 0):
            top = self.sides[level](maps[level]) + F.interpolate(
                top, scale_factor=2, mode="nearest"
            )
            tops.insert(0, top)
        return tuple(smooth(top) for smooth, top in zip(self.smooth, tops, strict=True))


class Siamese(nn.Module):
    """One encoder for two images; the answer is their cosine similarity (Bromley 1993)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            ConvNorm(1, 16, 5, 2), ConvNorm(16, 32, 3, 2), ConvNorm(32, 64, 3, 2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 32),
        )  # fmt: skip

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two (N, 1, H, W) → (N,)."""
        a, b = self.encoder(left), self.encoder(right)
        return (a * b).sum(1) / ((a * a).sum(1).sqrt() * (b * b).sum(1).sqrt() + 1e-6)


class Recursive(nn.Module):
    """Super-resolution with one convolution used six times (Kim 2015)."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, channels, 3, padding=1)
        self.step = nn.Conv2d(channels, channels, 3, padding=1)
        self.rebuild = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → the same shape."""
        y = torch.relu(self.embed(x))
        for _ in range(6):
            y = torch.relu(self.step(y))
        out: Tensor = x + self.rebuild(y)
        return out


class Residual1d(nn.Module):
    """Two convolutions and a way around them, with a 1×1 convolution where the width changes."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvNorm(inside, outside, 7, stride, dims=1),
            ConvNorm(outside, outside, 7, activation=None, dims=1),
        )
        same = stride == 1 and inside == outside
        self.around = (
            nn.Identity() if same else ConvNorm(inside, outside, 1, stride, activation=None, dims=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) → (N, outside, L / stride)."""
        return torch.relu(self.layers(x) + self.around(x))


def resnet_1d() -> nn.Module:
    """A residual network of signals, as for an ECG of 12 leads."""
    blocks = [
        Residual1d(a, b, s)
        for a, b, s in (
            (16, 16, 1),
            (16, 16, 1),
            (16, 32, 2),
            (32, 32, 1),
            (32, 64, 2),
            (64, 64, 1),
        )
    ]
    head = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 5), nn.Sigmoid()]
    return nn.Sequential(ConvNorm(12, 16, 15, 2, dims=1), nn.MaxPool1d(3, 2, 1), *blocks, *head)


class WaveBlock(nn.Module):
    """A gated, dilated convolution that sees the past only; answers the next input and a skip."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.past = dilation
        self.filter = nn.Conv1d(channels, channels, 2, dilation=dilation)
        self.gate = nn.Conv1d(channels, channels, 2, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, L) → two of the same shape."""
        y = F.pad(x, (self.past, 0))
        y = self.mix(torch.tanh(self.filter(y)) * torch.sigmoid(self.gate(y)))
        return x + y, y


class WaveNet(nn.Module):
    """van den Oord 2016, two cycles of dilations 1 to 32; every skip is added up."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.embed = nn.Conv1d(1, channels, 1)
        self.blocks = nn.ModuleList(WaveBlock(channels, 2 ** (i % 6)) for i in range(12))
        self.head = nn.Sequential(
            nn.ReLU(), nn.Conv1d(channels, 32, 1), nn.ReLU(), nn.Conv1d(32, 8, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, L) → logits (N, 8, L)."""
        x = self.embed(x)
        total = torch.zeros_like(x)
        for block in self.blocks:
            x, skip = block(x)
            total = total + skip
        logits: Tensor = self.head(total)
        return logits


class UNet1d(nn.Module):
    """A U-Net of signals: strided convolutions down, linear resizing up (Stoller 2018)."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        widths = [width * n for n in (1, 2, 3, 4)]
        self.downs = nn.ModuleList(
            ConvNorm(a, b, 5, 1 if a == 1 else 2, activation=nn.SiLU, dims=1)
            for a, b in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.ups = nn.ModuleList(
            ConvNorm(a + b, b, 5, activation=nn.SiLU, dims=1)
            for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv1d(width, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, L), L a multiple of 8 → logits (N, 3, L)."""
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in self.ups:
            x = F.interpolate(x, scale_factor=2.0, mode="linear", align_corners=False)
            x = up(torch.cat([x, skips.pop()], 1))
        logits: Tensor = self.head(x)
        return logits
