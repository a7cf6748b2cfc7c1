"""Gradients in bfloat16 on thin maps: those of float32, not what the memory held before."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from volunet.training.fitting.float32_convolutions import float32_where_thin


def spoil_memory():
    """Leave freed blocks full of NaN, which shows whoever reads what nobody wrote."""
    for dtype in (torch.float32, torch.bfloat16):
        blocks = [
            torch.full((n,), torch.nan, dtype=dtype)
            for n in (200, 1000, 5000, 20_000, 60_000, 200_000)
        ]
        del blocks


def gradient(conv, x):
    """By the weights, in bfloat16."""
    conv = copy.deepcopy(conv)
    spoil_memory()
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    spoil_memory()
    y.float().square().mean().backward()
    return conv.weight.grad


@pytest.mark.parametrize("channels", [1, 3, 16])
@pytest.mark.parametrize(
    ("kernel", "depth"), [(3, 1), (3, 2), (3, 3), (3, 8), (5, 2), (5, 3), (5, 4), (5, 5), (1, 2)]
)
def test_gradients_by_the_weights_are_those_of_float32(kernel, depth, channels):
    torch.manual_seed(0)
    conv = nn.Conv3d(channels, 16, kernel, padding=kernel // 2)
    conv = conv.to(memory_format=torch.channels_last_3d)
    float32_where_thin(conv)
    x = torch.randn(2, channels, depth, 5, 5).to(memory_format=torch.channels_last_3d)
    exact = copy.deepcopy(conv)
    exact(x).square().mean().backward()
    scale = exact.weight.grad.abs().max()
    for _ in range(20):
        # bfloat16 has 8 bits: each rounded factor is off by at most 2⁻⁸ of itself, two by 2⁻⁷, and
        # sums of them by a few times that of the largest.
        torch.testing.assert_close(
            gradient(conv, x), exact.weight.grad, rtol=0, atol=float(0.02 * scale)
        )


@pytest.mark.parametrize(("depth", "dtype"), [(2, torch.float32), (3, torch.bfloat16)])
def test_only_thin_maps_are_spared(depth, dtype):
    conv = nn.Conv3d(1, 1, 3, padding=1)
    float32_where_thin(conv)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(torch.zeros(1, 1, depth, 4, 4)).dtype == dtype
        # And what follows is in bfloat16 again.
        assert torch.is_autocast_enabled("cpu")


def test_without_autocast_nothing_changes():
    conv = nn.Conv3d(1, 1, 3, padding=1)
    x = torch.randn(1, 1, 2, 4, 4)
    before = conv(x)
    float32_where_thin(conv)
    torch.testing.assert_close(conv(x), before, rtol=0, atol=0)
    assert not torch.is_autocast_enabled("cpu")


def test_autocast_is_on_again_after_an_error():
    conv = nn.Conv3d(2, 1, 3, padding=1)
    float32_where_thin(conv)
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(RuntimeError, match="channels"):
            conv(torch.zeros(1, 1, 2, 4, 4))
        assert torch.is_autocast_enabled("cpu")
