"""What the writer knows of PyTorch's own modules: their arguments, defaults and functions."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Slot: TypeAlias = "int | float | bool | str | tuple[int | float, ...] | None"
"""A value that may differ between two layers of one form."""


def without_dimensions(module: str) -> str:
    """A module's class without ``1d``, ``2d``, ``3d``.

    Example:
        >>> without_dimensions("nn.Conv3d")
        'nn.Conv'
    """
    return re.sub(r"[123]d$", "", module)


POSITIONAL: Final[dict[str, tuple[str, ...]]] = {
    "nn.Conv": ("in_channels", "out_channels", "kernel_size"),
    "nn.ConvTranspose": ("in_channels", "out_channels", "kernel_size"),
    "nn.MaxPool": ("kernel_size",),
    "nn.AvgPool": ("kernel_size",),
    "nn.AdaptiveAvgPool": ("output_size",),
    "nn.AdaptiveMaxPool": ("output_size",),
    "nn.BatchNorm": ("num_features",),
    "nn.InstanceNorm": ("num_features",),
    "nn.GroupNorm": ("num_groups", "num_channels"),
    "nn.LayerNorm": ("normalized_shape",),
    "nn.LocalResponseNorm": ("size",),
    "nn.Linear": ("in_features", "out_features"),
    "nn.PReLU": ("num_parameters",),
    "nn.LeakyReLU": ("negative_slope",),
    "nn.ELU": ("alpha",),
    "nn.CELU": ("alpha",),
    "nn.Threshold": ("threshold", "value"),
    "nn.Flatten": ("start_dim",),
    "nn.Dropout": ("p",),
}
"""Arguments that are written without their names, in order."""

DEFAULTS: Final[dict[str, dict[str, Slot]]] = {
    "nn.Conv": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True},
    "nn.ConvTranspose": {
        "stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "bias": True, "dilation": 1,
    },
    "nn.MaxPool": {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False},
    "nn.AvgPool": {
        "stride": None, "padding": 0, "ceil_mode": False, "count_include_pad": True,
    },
    "nn.BatchNorm": {"eps": 1e-5},
    "nn.InstanceNorm": {"eps": 1e-5, "affine": False},
    "nn.GroupNorm": {"eps": 1e-5, "affine": True},
    "nn.LayerNorm": {"eps": 1e-5, "elementwise_affine": True, "bias": True},
    "nn.LocalResponseNorm": {"alpha": 1e-4, "beta": 0.75, "k": 1},
    "nn.Linear": {"bias": True},
    "nn.PReLU": {"num_parameters": 1},
    "nn.LeakyReLU": {"negative_slope": 0.01},
    "nn.ELU": {"alpha": 1.0},
    "nn.CELU": {"alpha": 1.0},
    "nn.Flatten": {"start_dim": 1},
    "nn.Dropout": {"p": 0.5},
}  # fmt: skip
"""Arguments that are left out where they have this value.

A pooling's stride is its kernel where it is None.

Source:
    https://docs.pytorch.org/docs/stable/nn.html
"""

_MODES: Final = ("nearest", "linear", "bilinear", "trilinear", "bicubic")

STATELESS: Final[dict[str, tuple[str, tuple[str, ...], str]]] = {
    "F.relu({0})": ("nn.ReLU", (), ""),
    "F.leaky_relu({0}, {=0})": ("nn.LeakyReLU", ("negative_slope",), ""),
    "F.elu({0}, {=0})": ("nn.ELU", ("alpha",), ""),
    "F.celu({0}, {=0})": ("nn.CELU", ("alpha",), ""),
    "F.selu({0})": ("nn.SELU", (), ""),
    "F.threshold({0}, {=0}, {=1})": ("nn.Threshold", ("threshold", "value"), ""),
    "F.gelu({0})": ("nn.GELU", (), ""),
    'F.gelu({0}, approximate="tanh")': ("nn.GELU", (), 'approximate="tanh"'),
    "torch.sigmoid({0})": ("nn.Sigmoid", (), ""),
    "F.hardsigmoid({0})": ("nn.Hardsigmoid", (), ""),
    "F.hardswish({0})": ("nn.Hardswish", (), ""),
    "F.silu({0})": ("nn.SiLU", (), ""),
    "F.mish({0})": ("nn.Mish", (), ""),
    "F.relu6({0})": ("nn.ReLU6", (), ""),
    "torch.tanh({0})": ("nn.Tanh", (), ""),
    "F.softplus({0})": ("nn.Softplus", (), ""),
    "F.softsign({0})": ("nn.Softsign", (), ""),
    "F.softmax({0}, dim={=0})": ("nn.Softmax", ("dim",), ""),
    "F.log_softmax({0}, dim={=0})": ("nn.LogSoftmax", ("dim",), ""),
    "torch.flatten({0}, {=0})": ("nn.Flatten", ("start_dim",), ""),
    "torch.flatten({0})": ("nn.Flatten", (), "0"),
    **{
        f'F.interpolate({{0}}, scale_factor={{=0}}, mode="{mode}"{corners})': (
            "nn.Upsample",
            ("scale_factor",),
            f'mode="{mode}"{corners}',
        )
        for mode in _MODES
        for corners in ("", ", align_corners=True")
    },
}
"""A function's call → the module that does the same, its arguments, and further ones as text."""
