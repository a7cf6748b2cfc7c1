from __future__ import annotations

import torch
from torch import nn


class SquaredError(nn.Module):
    def forward(self, output, target):
        return ((output.float().mean(dim=(2, 3, 4)) - target) ** 2).mean()


class AbsoluteError:
    def __init__(self):
        self.errors = []

    def add(self, output, target):
        self.errors.append((output.float().mean(dim=(2, 3, 4)) - target).abs().mean())

    def take(self):
        errors, self.errors = self.errors, []
        return torch.stack(errors).mean() if errors else None


class NumberObjective:
    def make_loss(self, name):
        assert name == "squared"
        return SquaredError()

    def make_score(self):
        return AbsoluteError()

    def can_validate(self, taught, shown):
        return True

    def random_target(self, batch_size, size, device):
        return torch.randn(batch_size, 1, device=device)

    def perfect_output(self, target):
        return target[..., None, None, None]


def make_objective(plan):
    return NumberObjective()
