"""`Ensemble`: several networks of one plan as one, which answers their averaged probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from volunet.errors import ConfigError
from volunet.nets.unet import UNet3d
from volunet.plan import Alignment, Size3


class Ensemble(nn.Module):
    """Networks of the same arguments, run on the same volume, their probabilities averaged.

    x (N, in_channels, D, H, W), any D, H, W from 1 up → (N, out_channels, D′, H′, W′), of the size
    that one member answers: the logarithm of the mean of the members' softmax. Its own softmax is
    that mean, so that it stands wherever logits do. Where the members answer probabilities
    themselves it is their mean as it is.

    Members are trained one by one, each by itself; together they run in eval mode only.

    Args:
        members: At least one network, all of the same arguments.
        gives_probabilities: Whether a member's answer is probabilities and no logits.

    Raises:
        ConfigError: There is no member.

    Source:
        Bagging, https://doi.org/10.1007/BF00058655.

    Example:
        >>> nets = [UNet3d(1, 2, features=(4, 8)) for _ in range(3)]
        >>> y = Ensemble(nets, gives_probabilities=False).eval()(torch.zeros(1, 1, 5, 3, 1))
        >>> tuple(y.shape), bool(torch.allclose(y.exp().sum(dim=1), torch.ones(1)))
        ((1, 2, 5, 3, 1), True)
    """

    def __init__(self, members: Sequence[UNet3d], *, gives_probabilities: bool) -> None:
        super().__init__()
        if not members:
            raise ConfigError(
                "Ensemble",
                "no member",
                "An ensemble averages at least one network.",
                "Give it the networks.",
            )
        self.members = nn.ModuleList(members)
        self.alignment: Alignment = members[0].alignment
        self.total_stride: Size3 = members[0].total_stride
        self.gives_probabilities = gives_probabilities

    def forward(self, x: Tensor) -> Tensor:
        """Log of the mean probability, or where members answer probabilities, the mean."""
        # Joined one after another, so that besides the running member one answer is held, not all.
        total = self._summand(self.members[0], x)
        for member in self.members[1:]:
            summand = self._summand(member, x)
            total = total + summand if self.gives_probabilities else _log_of_sum(total, summand)
        count = len(self.members)
        return total / count if self.gives_probabilities else total - math.log(count)

    def _summand(self, member: nn.Module, x: Tensor) -> Tensor:
        answer: Tensor = member(x)
        return answer if self.gives_probabilities else F.log_softmax(answer, dim=1)


Network = UNet3d | Ensemble
"""What a plan describes: one network, or of several members their ensemble."""


def _log_of_sum(a: Tensor, b: Tensor) -> Tensor:
    """log(eᵃ + eᵇ): torch.logaddexp, which the exporter writes such that small ones become −∞."""
    highest = torch.maximum(a, b)
    return highest + torch.log(1 + torch.exp(torch.minimum(a, b) - highest))
