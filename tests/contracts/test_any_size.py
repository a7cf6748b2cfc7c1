"""Any size means any size: every (D, H, W) from 1 to 80, whatever the preset, alignment and norm.

A combination answers at least 200 sizes: the fixed ones (one-voxel axes, primes, 80), then random
ones drawn evenly on a logarithmic scale. Networks have the five levels of the notes' network but
few channels, and random sizes have at most `BULK` voxels: sizes are what is tested, not time.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from volunet.errors import ShapeError
from volunet.nets import UNet3d, build_network, notes_plan
from volunet.plan import NetworkPlan

Size = tuple[int, int, int]

FEATURES = (2, 3, 4, 5, 6)
STRIDE = 16
NUM_SIZES = 200
NUM_TRAINED = 40
BULK = 12_000
FIXED: tuple[Size, ...] = (
    *itertools.product((1, 2, 17), repeat=3),
    (80, 1, 1), (1, 80, 1), (1, 1, 80), (79, 3, 5), (2, 73, 7), (11, 13, 71),
    (15, 16, 17), (31, 32, 33), (16, 16, 16), (47, 1, 48), (64, 2, 64), (61, 53, 80),
)  # fmt: skip

PRESETS = {
    "auto": NetworkPlan(in_channels=1, out_channels=2, features=FEATURES, activation="leaky_relu"),
    "notes": notes_plan(1, 2, FEATURES),
}


def random_sizes(count: int, seed: int) -> list[Size]:
    """`FIXED` and random sizes, each once."""
    rng = np.random.default_rng(seed)
    sizes = dict.fromkeys(FIXED)
    while len(sizes) < count:
        d, h, w = (int(v) for v in np.exp(rng.uniform(0, np.log(81), 3)))
        if d * h * w <= BULK:
            sizes[d, h, w] = None
    return list(sizes)


def cropped(size: Size) -> Size:
    """What `UNet3d` documents for ``crop``: ⌊d / m⌋·m voxels, or all d where d < m."""
    d, h, w = (d // STRIDE * STRIDE or d for d in size)
    return d, h, w


def faults(
    network: nn.Module, sizes: Sequence[Size], answered: Callable[[Size], Size]
) -> list[str]:
    """What is wrong with a network's answers: one line a size."""
    found = []
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        with torch.no_grad():
            try:
                y: Tensor = network(torch.randn(1, 1, *size, generator=generator))
            except (RuntimeError, ValueError) as error:
                found.append(f"{size}: {type(error).__name__}: {error}")
                continue
        if y.shape != (1, 2, *answered(size)):
            found.append(f"{size}: answers {tuple(y.shape)}, not {answered(size)}")
        elif not torch.isfinite(y).all():
            found.append(f"{size}: answers numbers that are none")
    return found


def network_of(preset: str, alignment: str, norm: str) -> UNet3d:
    torch.manual_seed(0)
    plan = PRESETS[preset].model_copy(update={"alignment": alignment, "norm": norm})
    return build_network(plan)


REPEATED = {("notes", "pad", norm) for norm in ("batch", "instance", "group", "none")} | {
    ("notes", alignment, norm)
    for alignment in ("crop", "pad_input")
    for norm in ("instance", "group", "none")
}
"""The presets differ by an activation: of the notes' only its own norm runs each time."""

COMBINATIONS = pytest.mark.parametrize(
    ("preset", "alignment", "norm"),
    [
        pytest.param(*choice, id="-".join(choice), marks=[pytest.mark.long] * (choice in REPEATED))
        for choice in itertools.product(
            PRESETS, ("crop", "pad", "pad_input"), ("batch", "instance", "group", "none")
        )
    ],
)


@COMBINATIONS
def test_every_size_is_answered(preset: str, alignment: str, norm: str) -> None:
    sizes = random_sizes(NUM_SIZES, zlib.crc32(f"{preset} {alignment} {norm}".encode()))
    assert len(sizes) >= 200
    assert all({min(axis), max(axis)} == {1, 80} for axis in zip(*sizes, strict=True))
    answered = cropped if alignment == "crop" else lambda size: size
    assert faults(network_of(preset, alignment, norm).eval(), sizes, answered) == []


@COMBINATIONS
def test_every_size_is_trained_on_or_refused_with_the_minimum(
    preset: str, alignment: str, norm: str
) -> None:
    network = network_of(preset, alignment, norm).train()
    sizes = random_sizes(NUM_TRAINED + len(FIXED), 1)[-NUM_TRAINED:]
    sizes += [(1, 1, 1), (16, 16, 16), (17, 1, 1), (31, 5, 31), (1, 32, 1), (2, 3, 33)]
    # The two norms that need statistics need two values at the deepest level, which has d / 16
    # voxels, rounded up where the input is padded to a multiple of 16, else down.
    rounding = STRIDE - 1 if alignment == "pad_input" else 0
    few = [
        size
        for size in sizes
        if norm in ("batch", "instance") and max(size) + rounding < 2 * STRIDE
    ]
    least = 2 * STRIDE - rounding
    for size in few:
        with pytest.raises(ShapeError) as caught:
            network(torch.randn(1, 1, *size))
        stated = re.search(r"at least (\d+) voxels on axis [DHW]", caught.value.expected)
        assert stated is not None
        assert int(stated[1]) == least
    enough = [size for size in sizes if size not in few]
    assert len(enough) >= 10
    assert (len(few) >= 3) == (norm in ("batch", "instance"))
    answered = cropped if alignment == "crop" else lambda size: size
    assert faults(network, enough, answered) == []


def test_a_network_without_alignment_does_not_pass() -> None:
    """The check itself: a plain U-Net takes only the sizes that its strides divide."""

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Conv3d(1, 2, 2, stride=2)
            self.up = nn.ConvTranspose3d(2, 2, 2, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.up(self.down(x))

    sizes: list[Size] = [(2, 4, 6), (3, 4, 6), (1, 4, 6)]
    found = faults(Plain(), sizes, lambda size: size)
    assert len(found) == 2
    assert found[0].startswith("(3, 4, 6): RuntimeError: The size of tensor a (3) must match")
    assert found[1].startswith("(1, 4, 6): RuntimeError: ")


def test_a_nan_and_another_size_do_not_pass() -> None:
    network: Any = network_of("auto", "crop", "none").eval()
    assert faults(network, [(17, 1, 1)], lambda size: size) == [
        "(17, 1, 1): answers (1, 2, 16, 1, 1), not (17, 1, 1)"
    ]
    with torch.no_grad():
        network.head.bias.fill_(float("nan"))
    assert faults(network, [(1, 1, 1)], cropped) == ["(1, 1, 1): answers numbers that are none"]
