"""Norms, double convolutions and upsampling: their sizes, their weights, one voxel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from volunet.nets.blocks import (
    ACTIVATIONS,
    NORMS,
    OUTPUT_ACTIVATIONS,
    AnySizeGroupNorm,
    AnySizeInstanceNorm3d,
    ConvBlock,
    make_upsampling,
)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_each_norm_is_the_one_that_it_is_called() -> None:
    found = {name: type(make(8)) for name, make in NORMS.items()}
    assert found == {
        "batch": nn.BatchNorm3d,
        "instance": AnySizeInstanceNorm3d,
        "group": AnySizeGroupNorm,
        "none": nn.Identity,
    }


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(1, 1), (2, 1), (3, 1), (4, 2), (6, 3), (8, 4), (12, 6), (16, 8), (32, 8), (7, 1), (14, 7)],
)
def test_groups_are_up_to_8_and_hold_2_channels_where_they_can(channels: int, groups: int) -> None:
    assert NORMS["group"](channels).num_groups == groups


def test_instance_norm_answers_as_pytorchs_does_where_that_works() -> None:
    torch.manual_seed(0)
    ours, theirs = AnySizeInstanceNorm3d(3, affine=True), nn.InstanceNorm3d(3, affine=True)
    with torch.no_grad():
        ours.weight.uniform_(0.5, 2.0)
        ours.bias.normal_()
    theirs.load_state_dict(ours.state_dict())
    x = 100 * torch.randn(2, 3, 4, 5, 6) + 30
    assert torch.equal(ours(x), theirs(x))
    # Over each instance and channel: mean = bias, deviation = weight. 1e-4: eps and float32.
    y = ours(x)
    torch.testing.assert_close(y.mean((2, 3, 4)), ours.bias.expand(2, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        y.std((2, 3, 4), correction=0), ours.weight.expand(2, 3), atol=1e-4, rtol=0
    )


def test_instance_norm_takes_one_voxel_and_answers_its_bias() -> None:
    ours, theirs = AnySizeInstanceNorm3d(3, affine=True), nn.InstanceNorm3d(3, affine=True)
    with torch.no_grad():
        ours.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    x = torch.randn(2, 3, 1, 1, 1)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        theirs(x)
    # 1e-4: rounding of x (1e-7 of about 1) times 1/√eps, 316.
    assert ours(x).flatten().tolist() == pytest.approx([1.0, 2.0, 3.0] * 2, abs=1e-4)


def test_group_norm_takes_one_value_a_group_and_is_pytorchs_else() -> None:
    ours, theirs = NORMS["group"](4), nn.GroupNorm(2, 4)
    x = torch.randn(2, 4, 3, 2, 5)
    assert torch.equal(ours(x), theirs(x))
    one = torch.randn(1, 1, 1, 1, 1)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        nn.GroupNorm(1, 1).eval()(one)
    assert NORMS["group"](1)(one).item() == pytest.approx(0.0, abs=1e-4)


def test_a_block_keeps_the_size_and_counts_its_weights() -> None:
    block = ConvBlock(2, 5, kernel=(1, 3, 5))
    assert block(torch.zeros(2, 2, 1, 4, 7)).shape == (2, 5, 1, 4, 7)
    # Two convolutions with bias, two batch norms with weight and bias.
    assert parameters(block) == (2 * 5 * 15 + 5) + (5 * 5 * 15 + 5) + 2 * 2 * 5


def test_a_residual_adds_a_convolution_of_the_blocks_input() -> None:
    torch.manual_seed(0)
    plain, residual = ConvBlock(2, 5).eval(), ConvBlock(2, 5, residual=True).eval()
    assert parameters(residual) - parameters(plain) == 2 * 5 + 5
    residual.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(1, 2, 4, 4, 4)
    assert residual.residual is not None
    torch.testing.assert_close(residual(x), plain(x) + residual.residual(x))


def test_dropout_drops_whole_channels_in_training_only() -> None:
    torch.manual_seed(0)
    block = ConvBlock(1, 64, norm="none", activation="elu", dropout=0.5)
    x = torch.randn(1, 1, 3, 3, 3)
    dropped = (block(x)[0].flatten(1) == 0).all(dim=1)
    assert 16 < int(dropped.sum()) < 48  # of 64, half are expected; 4 deviations either way
    assert not (block.eval()(x) == 0).any()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("relu", 0.0), ("leaky_relu", -0.02), ("elu", -0.8647), ("gelu", -0.0455)],
)
def test_activations_at_minus_2(name: str, expected: float) -> None:
    assert ACTIVATIONS[name]()(torch.tensor([-2.0])).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("none", [-1.0, 1.0]), ("relu", [0.0, 1.0]), ("sigmoid", [0.2689, 0.7311]),
     ("softmax", [0.1192, 0.8808])],
)  # fmt: skip
def test_output_activations_run_over_channels(name: str, expected: list[float]) -> None:
    x = torch.tensor([-1.0, 1.0]).reshape(1, 2, 1, 1, 1)
    assert OUTPUT_ACTIVATIONS[name]()(x).flatten().tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["transposed", "transposed_dilated", "trilinear"])
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 2, 3), (5, 4, 7)], ids=str)
@pytest.mark.parametrize("stride", [(2, 2, 2), (1, 2, 2), (1, 1, 2)], ids=str)
def test_upsampling_multiplies_each_size_by_its_stride(
    kind: str, size: tuple[int, int, int], stride: tuple[int, int, int]
) -> None:
    y = make_upsampling(kind, 4, 3, stride)(torch.zeros(1, 4, *size))
    assert y.shape == (1, 3, *(d * s for d, s in zip(size, stride, strict=True)))


@pytest.mark.parametrize("kind", ["transposed", "trilinear"])
def test_upsampling_takes_strides_beyond_2(kind: str) -> None:
    assert make_upsampling(kind, 1, 1, (4, 2, 3))(torch.zeros(1, 1, 2, 2, 2)).shape[2:] == (8, 4, 6)


def test_the_dilated_upsampling_is_the_notes() -> None:
    layer = make_upsampling("transposed_dilated", 4, 3, (2, 2, 2))
    twos, ones = (2, 2, 2), (1, 1, 1)
    assert (layer.kernel_size, layer.stride, layer.dilation) == (twos, twos, twos)
    assert (layer.padding, layer.output_padding) == (ones, ones)
