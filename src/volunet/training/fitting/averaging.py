"""The moving average of the weights, which is validated and kept: Lightning's, with a warm-up."""

from __future__ import annotations

from typing import Final

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from volunet.nets import UNet3d

DECAY: Final = 0.999
"""What is kept of the average at each step, in the long run."""


class AveragedWeights(WeightAveraging):
    """An exponential moving average of weights and batch norm statistics.

    Steps at a high learning rate jump about the minimum; their average lies nearer to it.
    Validations see the averaged network. Early on the average is short, so that the first, random
    weights do not stay in it: after n steps it reaches back over about n / 9 of them.

    Source:
        Polyak averaging; the warm-up (1 + n) / (10 + n) is that of TensorFlow's
        ExponentialMovingAverage.
    """

    def __init__(self) -> None:
        super().__init__(avg_fn=average)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the module its own last weights, from which a resumed fit goes on."""

    def network(self, module: pl.LightningModule) -> UNet3d:
        """The averaged network; before the first step the module's own."""
        holder = module if self._average_model is None else self._average_model.module
        network: UNet3d = holder.network  # type: ignore[assignment]
        return network


def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
    """The average after one more step; whole numbers, which count batches, are not averaged.

    Args:
        averaged: The average so far.
        current: The tensor after the step.
        count: Steps that are in the average.

    Example:
        >>> average(torch.zeros(1), torch.ones(1), 0), average(torch.zeros(1), torch.ones(1), 10**6)
        (tensor([0.9000]), tensor([0.0010]))
    """
    if not averaged.is_floating_point():
        return current
    steps = float(count)
    return torch.lerp(averaged, current, 1 - min(DECAY, (1 + steps) / (10 + steps)))
