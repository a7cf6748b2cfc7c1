"""The Lightning module: network, loss, optimizer and the validation Dice."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from monai.metrics import DiceMetric
from torch import Tensor
from torch.nn.functional import one_hot

from volunet.datasets.patches import Patch
from volunet.nets import UNet3d, network_of
from volunet.plan import Plan
from volunet.training.config import TrainingConfig
from volunet.training.losses import SegmentationLoss


class SegmentationModule(pl.LightningModule):
    """Fits the plan's network to patches.

    Args:
        plan: Says the network.
        config: Says the optimizer.

    Raises:
        ConfigError: The plan names no network.
    """

    def __init__(self, plan: Plan, config: TrainingConfig) -> None:
        super().__init__()
        self._config = config
        self._num_classes = len(plan.classes)
        self.network = to_channels_last(network_of(plan))
        fingerprint = plan.fingerprint
        self.loss = SegmentationLoss(None if fingerprint is None else fingerprint.class_fractions)
        self._dice = DiceMetric(include_background=False, reduction="none", ignore_empty=True)
        self.validation_dice = float("nan")

    def training_step(self, batch: Patch, batch_idx: int) -> Tensor:
        """Loss of a batch of patches."""
        image = batch["image"].contiguous(memory_format=torch.channels_last_3d)
        loss: Tensor = self.loss(self.network(image), batch["label"])
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: Patch, batch_idx: int) -> None:
        """Loss and per-class Dice of one validation patch."""
        logits = self.network(batch["image"])
        self.log("val_loss", self.loss(logits, batch["label"]), on_epoch=True, batch_size=1)
        predicted = logits.argmax(dim=1)
        self._dice(
            y_pred=one_hot(predicted, self._num_classes).movedim(-1, 1),
            y=one_hot(batch["label"][:, 0], self._num_classes).movedim(-1, 1),
        )

    def on_validation_epoch_end(self) -> None:
        """Mean over the classes of the mean over the cases in which the class is present."""
        scores = self._dice.aggregate()
        self._dice.reset()
        classes = torch.nanmean(scores, dim=0) if len(scores) else scores
        self.validation_dice = float(torch.nan_to_num(torch.nanmean(classes), nan=0.0))
        self.log("val_dice", self.validation_dice, prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer; `volunet.training.budget` sets its learning rate."""
        rate = self._config.highest_learning_rate
        parameters = self.network.parameters()
        if self._config.optimizer == "sgd":
            return torch.optim.SGD(
                parameters,
                rate,
                momentum=0.99,
                nesterov=True,
                weight_decay=self._config.weight_decay,
            )
        return torch.optim.AdamW(parameters, rate, weight_decay=self._config.weight_decay)


def to_channels_last(network: UNet3d) -> UNet3d:
    """Lay the weights out with channels last, the order that oneDNN and cuDNN convolve fastest."""
    laid_out: UNet3d = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return laid_out
