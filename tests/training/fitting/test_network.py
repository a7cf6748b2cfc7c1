"""The network as it is trained: its layout, and that its thin levels compute in float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from volunet.errors import ConfigError
from volunet.nets.presets import member_of
from volunet.training.fitting.network import training_network


def test_layout_and_weights(blob_plan):
    torch.manual_seed(0)
    plain = member_of(blob_plan)
    torch.manual_seed(0)
    network = training_network(blob_plan)
    kernels = [weight for weight in network.parameters() if weight.ndim == 5]
    assert len(kernels) > 3
    assert all(k.is_contiguous(memory_format=torch.channels_last_3d) for k in kernels)
    assert network.state_dict().keys() == plain.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, plain.state_dict()[name]), name


def test_thin_maps_are_computed_in_float32(blob_plan):
    network = training_network(blob_plan)
    seen = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] == 3:
            module.register_forward_hook(lambda _, __, y, name=name: seen.update({name: y.dtype}))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.zeros(2, 1, 4, 8, 8))
    # Of 4 slices the level below has 2, where its kernels want 3.
    depths = {torch.float32: [], torch.bfloat16: []}
    for name, dtype in seen.items():
        depths[dtype].append(name.split(".")[:2])
    assert ["encoders", "1"] in depths[torch.float32]
    assert ["encoders", "0"] in depths[torch.bfloat16]
    assert ["encoders", "0"] not in depths[torch.float32]


def test_a_plan_without_a_network(blob_plan):
    with pytest.raises(ConfigError, match="a plan without a network"):
        training_network(blob_plan.model_copy(update={"network": None}))
