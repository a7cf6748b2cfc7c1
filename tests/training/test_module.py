"""The Lightning module: its validation Dice by hand, and its optimizers."""

from __future__ import annotations

import pytest
import torch

from volunet.training.config import TrainingConfig
from volunet.training.module import SegmentationModule


class Fixed(torch.nn.Module):
    """Answers the logits of the class indices that it is given as image."""

    def forward(self, x):
        return torch.cat([20.0 * (x == k) for k in range(3)], dim=1)


@pytest.fixture
def three_classes(blob_plan):
    return blob_plan.model_copy(
        update={
            "classes": ("background", "one", "two"),
            "label_values": (0, 1, 2),
            "colours": ((0, 0, 0),) * 3,
            "network": blob_plan.network.model_copy(update={"out_channels": 3}),
        }
    )


def row(*values):
    return torch.tensor(values).reshape(1, 1, 1, 1, -1)


def test_validation_dice(three_classes, monkeypatch):
    module = SegmentationModule(three_classes, TrainingConfig(epochs=1))
    module.network = Fixed()
    logged = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: float(value)}))
    # Case 1: class 1 has 2·1/(1+3) = ½, class 2 is right. Case 2: class 1 is right and there is no
    # class 2, which one voxel claims. Class means ¾ and 1; over the classes 0.875.
    for image, label in (
        (row(1.0, 0.0, 0.0, 2.0), row(1, 1, 1, 2)),
        (row(1.0, 0.0, 0.0, 2.0), row(1, 0, 0, 0)),
    ):
        module.validation_step({"image": image, "label": label}, 0)
    module.on_validation_epoch_end()
    assert module.validation_dice == pytest.approx(0.875)
    assert logged["val_dice"] == pytest.approx(0.875)
    # The next validation starts anew; without any foreground it is 0, never NaN.
    module.validation_step({"image": row(0.0, 0.0), "label": row(0, 0)}, 0)
    module.on_validation_epoch_end()
    assert module.validation_dice == 0.0


def test_adamw(blob_plan):
    config = TrainingConfig(epochs=1, learning_rate=0.02, weight_decay=0.3)
    optimizer = SegmentationModule(blob_plan, config).configure_optimizers()
    assert isinstance(optimizer, torch.optim.AdamW)
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.02, 0.3)


def test_sgd(blob_plan):
    module = SegmentationModule(blob_plan, TrainingConfig(epochs=1, optimizer="sgd"))
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.SGD)
    found = {key: optimizer.defaults[key] for key in ("lr", "momentum", "nesterov")}
    assert found == {"lr": 0.01, "momentum": 0.99, "nesterov": True}


def test_weights_are_laid_out_for_speed(blob_plan):
    module = SegmentationModule(blob_plan, TrainingConfig(epochs=1))
    kernels = [p for p in module.network.parameters() if p.ndim == 5 and min(p.shape[1:]) > 1]
    assert kernels
    assert all(p.is_contiguous(memory_format=torch.channels_last_3d) for p in kernels)
