"""The networks of the corpus for ``volunet reverse``: how each is made and exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn

from benchmarks.reverse.papers import (
    Aspp,
    FeaturePyramid,
    GoogLeNet,
    MobileNetV2,
    Recursive,
    Siamese,
    UNet1d,
    UNet2015,
    Vgg16,
    WaveNet,
    alexnet,
    convnext,
    lenet5,
    mobilenet_v1,
    resnet_1d,
    shufflenet,
    squeezenet,
)
from volunet.nets import UNet3d, build_network, notes_plan
from volunet.nets.deployed import DeployedNetwork
from volunet.plan import Normalisation, Plan
from volunet.tasks.segmentation.plan import Segmentation

Mode = Literal["eval", "unfolded", "training"]


@dataclass(frozen=True)
class Network:
    """How one network of the corpus is made and exported.

    Attributes:
        family: Where it comes from.
        build: Makes it, with fresh weights.
        shapes: Shape of each input.
        axes: Axes of every input that the file leaves open; 0 is the batch.
        legacy: Opset of the older exporter.
        dynamo: Opset of the newer one.
        step: How much longer an open axis is in a second comparison.
        mode: ``eval``; ``unfolded``: without constant folding (dynamo: without its optimizer), so
            that norms stay; ``training``: in train mode.
    """

    family: str
    build: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    axes: tuple[int, ...] = ()
    legacy: int = 17
    dynamo: int = 18
    step: int = 32
    mode: Mode = "eval"


def _monai(name: str, dims: int, inside: int = 1, **arguments: Any) -> nn.Module:
    from monai.networks import nets

    network: nn.Module = getattr(nets, name)(spatial_dims=dims, in_channels=inside, **arguments)
    return network


def _flexible() -> nn.Module:
    from monai.networks.nets import FlexibleUNet

    network: nn.Module = FlexibleUNet(1, 2, "efficientnet-b0", decoder_channels=(64, 32, 16, 16, 8))
    return network


class _First(nn.Module):
    """The first answer of a network that answers a list."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """The first answer."""
        answer: Tensor = self.network(x)[0]
        return answer


def _monai_resnet(dims: int, block: str, layers: list[int]) -> nn.Module:
    from monai.networks.nets import ResNet

    widths = [16, 32, 64, 128]
    inside = 3 if dims == 2 else 1
    return ResNet(block, layers, widths, dims, inside, conv1_t_stride=2, num_classes=5)


def _nnunet(name: str, dims: int, **arguments: Any) -> nn.Module:
    from dynamic_network_architectures.architectures import unet

    conv, norm = ((nn.Conv2d, nn.InstanceNorm2d), (nn.Conv3d, nn.InstanceNorm3d))[dims - 2]
    network: nn.Module = getattr(unet, name)(
        input_channels=1, n_stages=4, features_per_stage=(8, 16, 32, 64), conv_op=conv,
        kernel_sizes=3, strides=[1, 2, 2, 2], num_classes=3, n_conv_per_stage_decoder=2,
        conv_bias=True, norm_op=norm, norm_op_kwargs={"affine": True, "eps": 1e-5},
        nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, **arguments,
    )  # fmt: skip
    return network


def _deployed() -> nn.Module:
    """A network as ``volunet export`` ships it: normalisation in front, softmax behind."""
    plan = Plan(
        dataset="corpus", channels=("CT",), orientation="any", spacing_mm=None,
        normalisation=(Normalisation(kind="clip_zscore", low=-1.5, high=1.5, mean=0.2, std=0.8),),
        task=Segmentation(
            classes=("background", "bone"), label_values=(0, 1), colours=((0, 0, 0), (255, 0, 0)),
            answer="probabilities",
        ),
        patch_size=(32, 48, 64), batch_size=1, network=None,
    )  # fmt: skip
    return DeployedNetwork(_ours(norm="instance", activation="leaky_relu"), plan)


_ours = partial(UNet3d, 1, 2, (4, 8, 16, 32))
_VOLUME, _IMAGE, _SCAN, _SIGNAL = (1, 1, 32, 48, 64), (1, 3, 64, 96), (1, 1, 64, 96), (1, 1, 256)
_NARROW = (8, 8, 16, 32, 64, 8)
_volume = partial(Network, shapes=(_VOLUME,), axes=(2, 3, 4))
_any_size = partial(_volume, "volunet", step=13)
_image = partial(Network, shapes=(_IMAGE,), axes=(2, 3))
_scan = partial(Network, shapes=(_SCAN,), axes=(2, 3))
_signal = partial(Network, "1D", shapes=(_SIGNAL,), axes=(2,))

NETWORKS: Mapping[str, Network] = {
    # MONAI
    "unet": _volume("MONAI", lambda: _monai(
        "UNet", 3, out_channels=2, channels=(8, 16, 32, 64), strides=(2,) * 3), legacy=13),
    "unet_residual": _volume("MONAI", lambda: _monai(
        "UNet", 3, out_channels=2, channels=(8, 16, 32), strides=(2, 2), num_res_units=2)),
    "unet_2d_batch": _scan("MONAI", lambda: _monai(
        "UNet", 2, out_channels=3, channels=(8, 16, 32, 64), strides=(2,) * 3, num_res_units=1,
        norm="batch", act="leakyrelu"), legacy=11, mode="unfolded"),
    "basic_unet": _volume("MONAI", lambda: _monai("BasicUNet", 3, features=_NARROW), legacy=14),
    "basic_unet_2d": _scan("MONAI", lambda: _monai(
        "BasicUNet", 2, features=_NARROW, norm="batch", upsample="nontrainable"), dynamo=20),
    "basic_unet_plus_plus": _scan("MONAI", lambda: _First(_monai(
        "BasicUNetPlusPlus", 2, features=_NARROW)), legacy=15),
    "dyn_unet": _volume("MONAI", lambda: _monai(
        "DynUNet", 3, out_channels=2, kernel_size=[3] * 4, strides=[1, 2, 2, 2],
        upsample_kernel_size=[2] * 3, filters=[8, 16, 32, 64]), legacy=16),
    "dyn_unet_residual": _volume("MONAI", lambda: _monai(
        "DynUNet", 3, out_channels=2, kernel_size=[(1, 3, 3), 3, 3],
        strides=[1, (1, 2, 2), 2], upsample_kernel_size=[(1, 2, 2), 2], filters=[8, 16, 32],
        res_block=True), dynamo=21),
    "seg_resnet": _volume("MONAI", lambda: _monai("SegResNet", 3), legacy=13),
    "seg_resnet_ds": _volume("MONAI", lambda: _monai(
        "SegResNetDS", 3, init_filters=8, norm="instance"), legacy=14),
    "attention_unet": _volume("MONAI", lambda: _monai(
        "AttentionUnet", 3, out_channels=2, channels=(8, 16, 32), strides=(2, 2))),
    "vnet_2d": _scan("MONAI", lambda: _monai("VNet", 2, dropout_dim=2), legacy=15),
    "resnet18_2d": _image("MONAI", lambda: _monai_resnet(2, "basic", [2, 2, 2, 2]), legacy=9),
    "resnet50_3d": _volume("MONAI", lambda: _monai_resnet(3, "bottleneck", [3, 4, 6, 3])),
    "densenet121": _image("MONAI", lambda: _monai(
        "DenseNet", 2, 3, out_channels=5, init_features=32, growth_rate=16), legacy=11),
    "efficientnet_b0": _image("MONAI", lambda: _monai(
        "EfficientNetBN", 2, 3, model_name="efficientnet-b0", pretrained=False, num_classes=5)),
    "se_resnext": _image("MONAI", lambda: _monai(
        "SENet", 2, 3, block="se_resnetxt_bottleneck", layers=[1, 2, 2, 1], groups=8, reduction=8,
        inplanes=64, input_3x3=False, downsample_kernel_size=1, num_classes=5), legacy=13),
    "highres_net": _volume("MONAI", lambda: _monai("HighResNet", 3, out_channels=3), legacy=16),
    "flexible_unet": _scan("MONAI", lambda: _flexible()),
    "mednext": _volume("MONAI", lambda: _monai(
        "MedNeXt", 3, init_filters=8, kernel_size=3, blocks_down=(1, 2), blocks_up=(2, 1),
        use_residual_connection=True)),
    "auto_encoder": _scan("MONAI", lambda: _monai(
        "AutoEncoder", 2, out_channels=1, channels=(8, 16, 32), strides=(2, 2, 2),
        num_inter_units=2, inter_channels=[32, 32], inter_dilations=[1, 2]), legacy=11),
    # nnU-Net
    "plain_conv_unet": _volume("nnU-Net", lambda: _nnunet(
        "PlainConvUNet", 3, n_conv_per_stage=2)),
    "plain_conv_unet_2d": _scan("nnU-Net", lambda: _nnunet(
        "PlainConvUNet", 2, n_conv_per_stage=2), legacy=13, mode="unfolded"),
    "residual_encoder_unet": _volume("nnU-Net", lambda: _nnunet(
        "ResidualEncoderUNet", 3, n_blocks_per_stage=[1, 3, 4, 4])),
    "residual_encoder_unet_fixed": Network("nnU-Net", lambda: _nnunet(
        "ResidualEncoderUNet", 3, n_blocks_per_stage=[1, 2, 2, 2]), (_VOLUME,), legacy=11),
    # volunet
    "volunet_notes": _any_size(lambda: build_network(
        notes_plan(1, 2, (4, 8, 16, 32, 64)))),
    "volunet_crop": _any_size(lambda: _ours(
        alignment="crop", norm="instance", activation="elu"), legacy=16),
    "volunet_pad": _any_size(lambda: _ours(
        alignment="pad", upsampling="trilinear", norm="group", activation="gelu"), dynamo=20),
    "volunet_residual": _any_size(lambda: _ours(
        residual=True, dropout=0.2, output_activation="sigmoid", activation="leaky_relu"),
        legacy=14, mode="unfolded"),
    "volunet_plain": _any_size(lambda: _ours(
        upsampling="trilinear", norm="none", alignment="crop", output_activation="softmax"),
        legacy=13),
    "volunet_anisotropic": _any_size(lambda: UNet3d(
        1, 3, (4, 8, 16), kernels=[(1, 3, 3), (3, 3, 3), (3, 3, 3)], strides=[(1, 2, 2), (2, 2, 2)],
        upsampling="transposed_dilated", norm="instance", residual=True), dynamo=19),
    "volunet_deployed": _any_size(_deployed),
    "volunet_fixed": Network("volunet", lambda: _ours(
        alignment="pad", upsampling="trilinear"), ((1, 1, 25, 38, 51),)),
    "volunet_training": Network("volunet", lambda: _ours(
        deep_supervision=True), (_VOLUME,), legacy=15, mode="training"),
    # Papers
    "lenet5": Network("papers", lenet5, ((1, 1, 32, 32),), axes=(0,), legacy=9),
    "alexnet": Network("papers", alexnet, ((1, 3, 95, 95),), legacy=11),
    "vgg16": Network("papers", Vgg16, ((1, 3, 64, 64),), axes=(0,), legacy=9),
    "googlenet": _image("papers", GoogLeNet, legacy=11),
    "googlenet_training": Network("papers", lambda: GoogLeNet(
        batch_norm=True, auxiliary=True), ((4, 3, 64, 96),), legacy=14, mode="training"),
    "mobilenet_v1": _image("papers", mobilenet_v1, legacy=9),
    "mobilenet_v2": _image("papers", MobileNetV2, legacy=13),
    "mobilenet_v2_unfolded": _image("papers", MobileNetV2, legacy=11, mode="unfolded"),
    "squeezenet": _image("papers", squeezenet, legacy=11),
    "shufflenet": _image("papers", shufflenet),
    "convnext": _image("papers", convnext),
    "unet_2015": Network("papers", UNet2015, ((1, 1, 188, 188),), axes=(2, 3), legacy=13),
    "deeplab_head": _image("papers", Aspp, legacy=16),
    "feature_pyramid": _image("papers", FeaturePyramid, legacy=13),
    "siamese": Network("papers", Siamese, (_SCAN, _SCAN), axes=(2, 3), legacy=14),
    "recursive": _scan("papers", Recursive, legacy=9),
    # 1D
    "resnet_1d": Network("1D", resnet_1d, ((1, 12, 500),), axes=(0, 2), legacy=13),
    "wavenet": _signal(WaveNet, legacy=11),
    "unet_1d": _signal(UNet1d, legacy=17),
}  # fmt: skip
