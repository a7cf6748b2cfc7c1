"""Networks by name, and the map that reads the notes' own weights into ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from volunet.errors import ConfigError
from volunet.nets.ensemble import Ensemble, Network
from volunet.nets.unet import UNet3d
from volunet.plan import NetworkPlan, Plan

_BLOCK = {"0": "conv1", "1": "norm1", "3": "conv2", "4": "norm2"}
"""Index in the notes' ``doubleConv`` sequence → name in `ConvBlock`."""


def notes_plan(
    in_channels: int, out_channels: int, features: Sequence[int] = (32, 64, 128, 256, 512)
) -> NetworkPlan:
    """The notes' network: double convolutions with batch norm and ReLU, a ReLU at the end.

    Its upsampling is a transposed convolution with kernel 2, stride 2, dilation 2, padding 1 and
    output padding 1, which doubles every size.
    """
    return NetworkPlan(
        in_channels=in_channels,
        out_channels=out_channels,
        features=tuple(features),
        upsampling="transposed_dilated",
        output_activation="relu",
    )


def build_network(plan: NetworkPlan) -> UNet3d:
    """The network that a plan describes, with fresh weights."""
    arguments = {name: getattr(plan, name) for name in NetworkPlan.model_fields}
    return UNet3d(**arguments)


def network_of(plan: Plan) -> Network:
    """The network that a data set's plan names, with fresh weights; of several, their ensemble.

    Raises:
        ConfigError: The plan is of a model file that is not volunet's and names no network.
    """
    if plan.members == 1:
        return member_of(plan)
    members = [member_of(plan) for _ in range(plan.members)]
    gives = plan.network is not None and plan.network.gives_probabilities
    return Ensemble(members, gives_probabilities=gives)


def member_of(plan: Plan) -> UNet3d:
    """One network of the plan's `members`, with fresh weights.

    Raises:
        ConfigError: The plan is of a model file that is not volunet's and names no network.
    """
    if plan.network is None:
        raise ConfigError(
            plan.dataset,
            "a plan without a network",
            "A plan made by volunet train names its network.",
            "Use the plan of a run folder or of an exported model.",
        )
    return build_network(plan.network)


def from_notes_names(state: Mapping[str, Tensor], levels: int = 5) -> dict[str, Tensor]:
    """Rename the notes' weights to `UNet3d`'s.

    ======================================== ==============================
    notes                                    volunet
    ======================================== ==============================
    ``encoder_1.doubleConv.I``               ``encoders.0.P``
    ``encoder_L.maxpool_conv.1.doubleConv.I`` ``encoders.(L−1).P``
    ``buttom.maxpool_conv.1.doubleConv.I``   ``encoders.(levels−1).P``
    ``decoder_L.trans_conv``                 ``upsamplings.(L−1)``
    ``decoder_L.double_conv.doubleConv.I``   ``decoders.(L−1).P``
    ``output.conv``                          ``head``
    ======================================== ==============================

    where I = 0, 1, 3, 4 is P = ``conv1``, ``norm1``, ``conv2``, ``norm2``.

    Args:
        state: State dict under the notes' names.
        levels: Levels of the network, the bottom one included.

    Raises:
        ConfigError: A name does not belong to the notes' network.
    """
    rules = (
        (r"encoder_(\d+)\.(?:maxpool_conv\.1\.)?doubleConv\.(\d)", "encoders.{level}.{part}"),
        (r"buttom()\.maxpool_conv\.1\.doubleConv\.(\d)", f"encoders.{levels - 1}.{{part}}"),
        (r"decoder_(\d+)\.double_conv\.doubleConv\.(\d)", "decoders.{level}.{part}"),
        (r"decoder_(\d+)\.trans_conv()", "upsamplings.{level}"),
        (r"output()\.conv()", "head"),
    )
    renamed = {}
    for name, tensor in state.items():
        for pattern, ours in rules:
            match = re.match(pattern + r"\.(\w+)$", name)
            if match:
                level, part, parameter = match.groups()
                prefix = ours.format(level=int(level or 1) - 1, part=_BLOCK.get(part, ""))
                renamed[f"{prefix}.{parameter}"] = tensor
                break
        else:
            raise ConfigError(
                name,
                "no weight of the notes' network",
                "Names are encoder_L…, buttom…, decoder_L… and output.conv….",
                "Load weights of another network into a network of their own.",
            )
    return renamed


def load_notes_weights(path: str | Path) -> UNet3d:
    """Build the preset ``notes`` with the weights, features and channels of a ``.pt`` file.

    Args:
        path: A state dict under the notes' names; read with ``weights_only=True``.

    Raises:
        ConfigError: The file holds something else than these weights.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    levels = 1 + sum(name.endswith(".trans_conv.weight") for name in state)
    renamed = from_notes_names(state, levels)
    features = [renamed[f"encoders.{level}.conv1.weight"].shape[0] for level in range(levels)]
    in_channels = renamed["encoders.0.conv1.weight"].shape[1]
    out_channels = renamed["head.weight"].shape[0]
    network = build_network(notes_plan(in_channels, out_channels, features))
    network.load_state_dict(renamed)
    return network
