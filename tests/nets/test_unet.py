"""`UNet3d`: arguments, sizes of its answers, deep supervision, the smallest size to train on."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from volunet.errors import ConfigError, ShapeError
from volunet.nets import UNet3d

THIN: dict[str, Any] = {
    "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    "strides": ((1, 2, 2), (2, 2, 3)),
}
"""For thick slices: total stride (2, 4, 6)."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": ()}, r"features \(\).*\n.*at least one level"),
        ({"features": (4, 0)}, r"features \(4, 0\).*\n.*each at least 1"),
        ({"kernels": [(3, 3, 3)]}, "2 features, 1 kernels, 1 strides"),
        ({"strides": [(2, 2, 2)] * 2}, "2 features, 2 kernels, 2 strides"),
        ({"kernels": [(3, 3, 3), (3, 2, 3)]}, r"kernels .*\n.*odd, so that a convolution keeps"),
        ({"kernels": [(3, 3, 3), (3, -1, 3)]}, r"kernels .*\n.*odd"),
        ({"strides": [(2, 0, 2)]}, r"strides \(\(2, 0, 2\),\).*\n.*at least 1\."),
        (
            {"strides": [(2, 3, 2)], "upsampling": "transposed_dilated"},
            r"with transposed_dilated upsampling.*\n.*at least 1 and at most 2\.",
        ),
        ({"alignment": "shift"}, r"alignment='shift'.*\n.*one of crop, pad, pad_input"),
        ({"upsampling": "nearest"}, "one of transposed, transposed_dilated, trilinear"),
        ({"norm": "layer"}, "norm is one of batch, instance, group, none"),
        ({"activation": "mish"}, "activation is one of relu, leaky_relu, elu, gelu"),
        ({"output_activation": "tanh"}, "one of none, relu, sigmoid, softmax"),
        (
            {"dropout": (0.1, 0.2, 0.3)},
            r"UNet3d: 2 features, 3 dropouts\.\nDropout is one number .*\nGive as many as features",
        ),
        ({"dropout": ()}, "2 features, 0 dropouts"),
        ({"dropout": (0.1, 1.0)}, r"dropout \(0\.1, 1\.0\)\.\nProbabilities are .* below 1.*\nFor"),
        ({"dropout": -0.1}, r"dropout \(-0\.1, -0\.1\)"),
        ({"dropout": 1}, r"dropout \(1, 1\)"),
        ({"dropout": (0.1, float("nan"))}, r"dropout \(0\.1, nan\)"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UNet3d(1, 2, **({"features": (4, 8)} | arguments))


@pytest.mark.parametrize("alignment", ["pad", "pad_input"])
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 7, 11), (2, 4, 6), (5, 9, 13)], ids=str)
def test_thick_slices_keep_their_size(alignment: Any, size: tuple[int, int, int]) -> None:
    network = UNet3d(2, 3, (2, 4, 6), alignment=alignment, **THIN).eval()
    assert network.total_stride == (2, 4, 6)
    assert network(torch.zeros(1, 2, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize(
    ("size", "answered"),
    [((1, 1, 1), (1, 1, 1)), ((3, 7, 11), (2, 4, 6)), ((2, 3, 6), (2, 3, 6)),
     ((5, 9, 13), (4, 8, 12)), ((8, 8, 5), (8, 8, 5))],
    ids=str,
)  # fmt: skip
def test_crop_answers_whole_multiples_of_the_total_stride(
    size: tuple[int, int, int], answered: tuple[int, int, int]
) -> None:
    network = UNet3d(1, 2, (2, 4, 6), alignment="crop", **THIN).eval()
    assert network(torch.zeros(1, 1, *size)).shape == (1, 2, *answered)


def test_crop_answers_the_middle() -> None:
    """With the decoder's lower half silenced, the answer is that of the cropped top skip."""
    torch.manual_seed(0)
    network = UNet3d(1, 2, (2, 4, 6), alignment="crop", norm="none").eval()
    with torch.no_grad():
        network.upsamplings[0].weight.zero_()
        network.upsamplings[0].bias.zero_()
        for part in ("conv1", "conv2"):  # a 1×1×1 kernel in a 3×3×3 one: no border is seen
            weight = getattr(network.decoders[0], part).weight
            centre = weight[:, :, 1, 1, 1].clone()
            weight.zero_()
            weight[:, :, 1, 1, 1] = centre
    x = torch.randn(1, 1, 7, 9, 10)
    skip = network.encoders[0](x)
    wide = torch.cat([skip, torch.zeros_like(skip)], dim=1)
    whole = network.head(network.decoders[0](wide))
    # Total stride 4: 7 → 4, 9 → 8, 10 → 8 voxels; of 3, 1 and 2 lost ones 1, 0 and 1 in front.
    torch.testing.assert_close(network(x), whole[:, :, 1:5, 0:8, 1:9])


def test_where_nothing_needs_aligning_the_alignments_agree() -> None:
    x = torch.randn(1, 1, 16, 8, 12, generator=torch.Generator().manual_seed(1))
    answers = []
    for alignment in ("crop", "pad", "pad_input"):
        torch.manual_seed(0)
        answers.append(UNet3d(1, 2, (2, 4, 6), alignment=alignment).eval()(x))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize("alignment", ["crop", "pad", "pad_input"])
def test_deep_supervision_lists_the_logits_and_one_for_each_lower_level(
    levels: int, alignment: Any
) -> None:
    features = (2, 3, 4, 5)[:levels]
    network = UNet3d(1, 2, features, alignment=alignment, deep_supervision=True, norm="group")
    x = torch.randn(2, 1, 9, 17, 11)
    listed = network.train()(x)
    assert isinstance(listed, list)
    assert len(listed) == max(1, levels - 1)
    m = 2 ** (levels - 1)
    cropped = (9 // m * m, 17 // m * m, 11 // m * m)
    size = cropped if alignment == "crop" else (9, 17, 11)
    assert [tuple(y.shape) for y in listed] == [(2, 2, *size)] * len(listed)
    answer = network.eval()(x)
    assert isinstance(answer, torch.Tensor)
    # 1e-6: group norm is the same in both modes; nothing but the list differs.
    torch.testing.assert_close(answer, listed[0], atol=1e-6, rtol=0)


def test_deep_supervision_trains_every_side_head() -> None:
    network = UNet3d(1, 2, (2, 3, 4, 5), deep_supervision=True, norm="group").train()
    sum(y.square().mean() for y in network(torch.randn(1, 1, 8, 8, 8))).backward()
    assert len(network.side_heads) == 2
    assert all(float(head.weight.grad.abs().sum()) > 0 for head in network.side_heads)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("alignment", ["crop", "pad", "pad_input"])
@pytest.mark.parametrize("shape", [{}, THIN], ids=["plain", "thin"])
@pytest.mark.parametrize("levels", [1, 3])
def test_the_minimum_that_the_error_states_is_the_minimum(
    norm: Any, alignment: Any, shape: dict[str, Any], levels: int
) -> None:
    shape = shape if levels == 3 else {}
    network = UNet3d(1, 2, (2, 4, 6)[:levels], alignment=alignment, norm=norm, **shape).train()
    with pytest.raises(ShapeError) as caught:
        network(torch.randn(1, 1, 1, 1, 1))
    stated = re.search(r"at least (\d+) voxels on axis ([DHW])", caught.value.expected)
    assert stated is not None
    assert ("2 volumes in a batch" in caught.value.expected) == (norm == "batch")
    least, axis = int(stated[1]), "DHW".index(stated[2])
    size = [1, 1, 1]
    size[axis] = least
    answer = network(torch.randn(1, 1, *size))
    assert torch.isfinite(answer).all()
    assert answer.shape[2:] == tuple(size)
    size[axis] = least - 1
    with pytest.raises(ShapeError, match=rf"at least {least} voxels on axis {'DHW'[axis]}"):
        network(torch.randn(1, 1, *size))


def test_two_volumes_in_a_batch_are_enough_for_batch_norm_only() -> None:
    x = torch.randn(2, 1, 1, 1, 1)
    assert torch.isfinite(UNet3d(1, 2, (2, 4)).train()(x)).all()
    with pytest.raises(ShapeError, match="a batch of 2 that is 1×1×1 at the deepest level"):
        UNet3d(1, 2, (2, 4), norm="instance").train()(x)


@pytest.mark.parametrize("norm", ["group", "none"])
def test_the_other_norms_train_on_one_voxel(norm: Any) -> None:
    network = UNet3d(1, 2, (2, 4, 6), norm=norm).train()
    assert torch.isfinite(network(torch.randn(1, 1, 1, 1, 1))).all()


def test_residual_dropout_and_activation_reach_every_block() -> None:
    plain = UNet3d(1, 2, (2, 4, 6))
    fancy = UNet3d(1, 2, (2, 4, 6), residual=True, dropout=0.25, activation="gelu")
    blocks = [*fancy.encoders, *fancy.decoders]
    assert len(blocks) == 5
    assert all(block.residual is not None and block.dropout.p == 0.25 for block in blocks)
    assert all(isinstance(block.activation2, torch.nn.GELU) for block in blocks)
    added = sum(p.numel() for p in fancy.parameters()) - sum(p.numel() for p in plain.parameters())
    # 1×1×1 convolutions of the encoder 1→2, 2→4, 4→6 and of the decoder 4→2, 8→4, with bias.
    assert added == (2 + 2) + (8 + 4) + (24 + 6) + (8 + 2) + (32 + 4)


def test_each_level_has_its_own_dropout() -> None:
    network = UNet3d(1, 2, (2, 4, 6), dropout=(0.0, 0.25, 0.5))
    # At 0 there is no dropout at all, so that a file is not made to carry one.
    assert isinstance(network.encoders[0].dropout, torch.nn.Identity)
    assert isinstance(network.decoders[0].dropout, torch.nn.Identity)
    assert [network.encoders[1].dropout.p, network.encoders[2].dropout.p] == [0.25, 0.5]
    assert network.decoders[1].dropout.p == 0.25


def test_dropout_changes_answers_in_training_only() -> None:
    plain, dropped = UNet3d(1, 2, (2, 4)), UNet3d(1, 2, (2, 4), dropout=(0.0, 0.5))
    dropped.load_state_dict(plain.state_dict())
    x = torch.randn(2, 1, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain.eval()(x), dropped.eval()(x))
    torch.manual_seed(0)
    assert not torch.equal(dropped.train()(x), plain.train()(x))
