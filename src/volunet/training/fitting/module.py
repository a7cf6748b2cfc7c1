"""The Lightning module: network, loss, optimizer and the score of validation and training cases."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from volunet.datasets.patches import Patch
from volunet.plan import Plan
from volunet.tasks.objective import objective_of
from volunet.training.config import TrainingConfig
from volunet.training.fitting.network import training_network


class FittedModule(pl.LightningModule):
    """Fits one network of the plan's to patches.

    Args:
        plan: Says the network and the measures against overfitting.
        config: Says the loss and the optimizer.

    Raises:
        ConfigError: The plan names no network.
    """

    def __init__(self, plan: Plan, config: TrainingConfig) -> None:
        super().__init__()
        self._config = config
        self._regularisation = plan.regularisation
        self.network = training_network(plan)
        objective = objective_of(plan)
        self.loss = objective.make_loss(plan.task.loss(config.loss))
        score = plan.task.score
        # One for each validation loader: of validation cases, of training cases.
        self._scores = {name: objective.make_score() for name in (score.validation, score.training)}

    def training_step(self, batch: Patch, batch_idx: int) -> Tensor:
        """Loss of a batch of patches, the penalty of `Regularisation.l1` included."""
        image = batch["image"].contiguous(memory_format=torch.channels_last_3d)
        loss: Tensor = self.loss(self.network(image), batch["target"])
        # The run's own rows of it are `volunet.training.fitting.telemetry`'s.
        self.log("train_loss", loss.detach(), logger=False)
        if self._regularisation.l1:
            weights = decayed_parameters(self.network)
            penalty = torch.stack([weight.abs().sum() for weight in weights]).sum()
            loss = loss + self._regularisation.l1 * penalty
        return loss

    def validation_step(self, batch: Patch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Score of one patch, and of validation cases the loss."""
        output = self.network(batch["image"].contiguous(memory_format=torch.channels_last_3d))
        if dataloader_idx == 0:
            self.log(
                "val_loss",
                self.loss(output, batch["target"]),
                on_epoch=True,
                batch_size=1,
                add_dataloader_idx=False,
                sync_dist=True,
            )
        list(self._scores.values())[dataloader_idx].add(output, batch["target"])

    def on_validation_epoch_end(self) -> None:
        """Log the mean of each score."""
        for name, score in self._scores.items():
            mean = score.take()
            if mean is not None:
                self.log(name, mean, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer; `volunet.training.fitting.budget` sets its learning rate."""
        rate = self._config.highest_learning_rate
        decayed = decayed_parameters(self.network)
        chosen = {id(weight) for weight in decayed}
        groups = [
            {"params": decayed, "weight_decay": self._regularisation.l2},
            {
                "params": [p for p in self.network.parameters() if id(p) not in chosen],
                "weight_decay": 0.0,
            },
        ]
        if self._config.optimizer == "sgd":
            return torch.optim.SGD(groups, rate, momentum=0.99, nesterov=True)
        return torch.optim.AdamW(groups, rate)


def decayed_parameters(network: nn.Module) -> list[nn.Parameter]:
    """The weights that L1 and L2 pull to 0: those of convolutions.

    Norms' weights and all biases have one axis, and few of them: to pull them to 0 would not make
    the network simpler, only its layers quieter.
    """
    return [parameter for parameter in network.parameters() if parameter.ndim > 1]
