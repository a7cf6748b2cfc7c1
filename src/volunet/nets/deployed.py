"""`DeployedNetwork`: raw intensities in, the plan's answer out; what is exported and run.

The contract of a model file: the caller brings the scan onto the plan's orientation and spacing and
feeds raw intensities; normalisation and, where asked, softmax or argmax happen inside.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from volunet.nets.ensemble import Network
from volunet.plan import FLATNESS, SMALLEST_STD, Normalisation, Plan


class DeployedNetwork(nn.Module):
    """A network with its plan's normalisation in front and its answer behind.

    x (1, C, D, H, W), raw intensities → (1, K, D, H, W), or after argmax (1, 1, D, H, W), int64.

    Args:
        network: The trained network, or an ensemble of several.
        plan: Says the normalisation and the answer.
    """

    def __init__(self, network: Network, plan: Plan) -> None:
        super().__init__()
        self.network = network
        self.rules = plan.normalisation
        self.head = plan.task.head
        self.gives_probabilities = plan.network is not None and plan.network.gives_probabilities

    def forward(self, x: Tensor) -> Tensor:
        """Answer for one scan."""
        channels = [
            normalise_tensor(x[:, index : index + 1], rule) for index, rule in enumerate(self.rules)
        ]
        logits = self.network(channels[0] if len(channels) == 1 else torch.cat(channels, dim=1))
        if self.head == "softmax" and not self.gives_probabilities:
            return torch.softmax(logits, dim=1)
        if self.head == "argmax":
            return torch.argmax(logits, dim=1, keepdim=True)
        answer: Tensor = logits
        return answer


def normalise_tensor(x: Tensor, rule: Normalisation) -> Tensor:
    """`volunet.volumes.normalise.normalise` as graph operators.

    Args:
        x: Raw intensities of one channel, (N, 1, D, H, W).
        rule: The rule.

    Returns:
        The same shape, float32.
    """
    if rule.kind == "zscore":
        centre = _mean(x)
        std = _mean((x - centre) ** 2).sqrt()
        return (x - centre) / torch.clamp(
            torch.maximum(std, FLATNESS * centre.abs()), min=SMALLEST_STD
        )
    if rule.kind == "clip_zscore":
        return (torch.clamp(x, rule.low, rule.high) - rule.mean) / rule.std
    return x


def _mean(x: Tensor) -> Tensor:
    # Axis by axis: a running float32 sum over 10^8 voxels would lose digits, 3 short ones do not.
    for axis in (4, 3, 2):
        x = x.mean(dim=axis, keepdim=True)
    return x
