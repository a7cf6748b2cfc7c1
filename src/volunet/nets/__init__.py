"""PyTorch networks: the any-size U-Net, its blocks and its presets. Needs ``volunet[train]``."""

from volunet.nets.ensemble import Ensemble, Network
from volunet.nets.presets import (
    build_network,
    load_notes_weights,
    member_of,
    network_of,
    notes_plan,
)
from volunet.nets.unet import UNet3d

__all__ = [
    "Ensemble",
    "Network",
    "UNet3d",
    "build_network",
    "load_notes_weights",
    "member_of",
    "network_of",
    "notes_plan",
]
