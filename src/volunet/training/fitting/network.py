"""The network as it is trained: one of the plan's, laid out and guarded for its steps."""

from __future__ import annotations

import torch

from volunet.nets import UNet3d
from volunet.nets.presets import member_of
from volunet.plan import Plan
from volunet.training.fitting.float32_convolutions import float32_where_thin


def training_network(plan: Plan) -> UNet3d:
    """One network of the plan's, with fresh weights, as every step of a fit computes with it.

    Its weights lie with channels last, the order that oneDNN and cuDNN convolve fastest. Whatever
    measures a step in advance takes it from here, so that it measures the fit's.

    Raises:
        ConfigError: The plan names no network.
    """
    network: UNet3d = member_of(plan).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    float32_where_thin(network)
    return network
