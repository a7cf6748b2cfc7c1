"""The Lightning module: its Dice by hand, its optimizers, and what L1 and L2 pull at."""

from __future__ import annotations

import pytest
import torch

from volunet.errors import ConfigError
from volunet.nets import UNet3d
from volunet.plan import Regularisation
from volunet.tasks.segmentation.plan import Segmentation
from volunet.training.config import TrainingConfig
from volunet.training.fitting.module import FittedModule, decayed_parameters

CONVOLUTIONS = (torch.nn.Conv3d, torch.nn.ConvTranspose3d)


class Fixed(torch.nn.Module):
    """Answers the logits of the class indices that it is given as image."""

    def forward(self, x):
        return torch.cat([20.0 * (x == k) for k in range(3)], dim=1)


@pytest.fixture
def three_classes(blob_plan):
    return blob_plan.model_copy(
        update={
            "task": Segmentation(
                classes=("background", "one", "two"),
                label_values=(0, 1, 2),
                colours=((0, 0, 0),) * 3,
            ),
            "network": blob_plan.network.model_copy(update={"out_channels": 3}),
        }
    )


@pytest.fixture
def regular(blob_plan):
    """Make a module; keywords of `Regularisation` and of `NetworkPlan` replace its own."""

    def make(**keys):
        measures = {k: keys.pop(k) for k in list(keys) if k in Regularisation.model_fields}
        plan = blob_plan.model_copy(
            update={
                "regularisation": Regularisation(**measures),
                "network": blob_plan.network.model_copy(update=keys),
            }
        )
        torch.manual_seed(0)
        return FittedModule(plan, TrainingConfig(epochs=1))

    return make


def row(*values):
    return torch.tensor(values).reshape(1, 1, 1, 1, -1)


def record(module, monkeypatch):
    logged = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value.item()}))
    return logged


def test_validation_dice(three_classes, monkeypatch):
    module = FittedModule(three_classes, TrainingConfig(epochs=1))
    module.network = Fixed()
    logged = record(module, monkeypatch)
    # Case 1: class 1 has 2·1/(1+3) = ½, class 2 is right. Case 2: class 1 is right and there is no
    # class 2, which one voxel claims. Class means ¾ and 1; over the classes 0.875.
    for image, label in (
        (row(1.0, 0.0, 0.0, 2.0), row(1, 1, 1, 2)),
        (row(1.0, 0.0, 0.0, 2.0), row(1, 0, 0, 0)),
    ):
        module.validation_step({"image": image, "target": label}, 0)
    module.on_validation_epoch_end()
    assert logged["val_dice"] == pytest.approx(0.875)
    assert "train_dice" not in logged
    # The next validation starts anew; without any foreground it is 0, never NaN.
    module.validation_step({"image": row(0.0, 0.0), "target": row(0, 0)}, 0)
    module.on_validation_epoch_end()
    assert logged["val_dice"] == 0.0


def test_training_cases_have_a_dice_of_their_own(three_classes, monkeypatch):
    module = FittedModule(three_classes, TrainingConfig(epochs=1))
    module.network = Fixed()
    logged = record(module, monkeypatch)
    right, wrong = row(1.0, 2.0), row(1.0, 1.0)
    module.validation_step({"image": right, "target": row(1, 2)}, 0, dataloader_idx=1)
    assert logged == {}  # the loss is of validation cases alone
    module.validation_step({"image": wrong, "target": row(1, 2)}, 0, dataloader_idx=0)
    # Class 1 has 2·1/(2+1) = ⅔, class 2 nothing.
    loss = module.loss(Fixed()(wrong), row(1, 2))
    assert logged == {"val_loss": pytest.approx(float(loss))}
    module.on_validation_epoch_end()
    assert logged["train_dice"] == 1.0
    assert logged["val_dice"] == pytest.approx(1 / 3)


def test_adamw(blob_plan):
    config = TrainingConfig(epochs=1, learning_rate=0.02)
    optimizer = FittedModule(blob_plan, config).configure_optimizers()
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.02]


def test_sgd(blob_plan):
    module = FittedModule(blob_plan, TrainingConfig(epochs=1, optimizer="sgd"))
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.SGD)
    for group in optimizer.param_groups:
        found = {key: group[key] for key in ("lr", "momentum", "nesterov")}
        assert found == {"lr": 0.01, "momentum": 0.99, "nesterov": True}


def test_weights_are_laid_out_for_speed(blob_plan):
    module = FittedModule(blob_plan, TrainingConfig(epochs=1))
    kernels = [p for p in module.network.parameters() if p.ndim == 5 and min(p.shape[1:]) > 1]
    assert kernels
    assert all(p.is_contiguous(memory_format=torch.channels_last_3d) for p in kernels)


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "none"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_l2_is_of_convolutions_alone(blob_plan, norm, optimizer):
    plan = blob_plan.model_copy(
        update={
            "regularisation": Regularisation(l2=0.3),
            "network": blob_plan.network.model_copy(
                update={"norm": norm, "residual": True, "features": (4, 8, 8)}
            ),
        }
    )
    module = FittedModule(plan, TrainingConfig(epochs=1, optimizer=optimizer))
    names = {id(weight): name for name, weight in module.network.named_parameters()}
    decay = {
        names[id(weight)]: group["weight_decay"]
        for group in module.configure_optimizers().param_groups
        for weight in group["params"]
    }
    weights = {
        f"{name}.weight"
        for name, layer in module.network.named_modules()
        if isinstance(layer, CONVOLUTIONS)
    }
    # Encoders and decoders have conv1, conv2 and a residual each; two upsamplings; the head.
    assert len(weights) == 5 * 3 + 2 + 1
    assert decay == {name: 0.3 if name in weights else 0.0 for name in names.values()}


def gradients(module, batch, monkeypatch):
    """Of a training step, by name; and what was logged."""
    logged = record(module, monkeypatch)
    loss = module.training_step(batch, 0)
    loss.backward()
    found = {name: weight.grad.clone() for name, weight in module.network.named_parameters()}
    return float(loss.detach()), found, logged


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_l1_is_of_convolutions_alone(regular, monkeypatch, norm):
    torch.manual_seed(1)
    batch = {
        "image": torch.randn(2, 1, 6, 6, 6),
        "target": torch.randint(0, 2, (2, 1, 6, 6, 6)),
    }
    without, with_l1 = regular(norm=norm, l1=0.0), regular(norm=norm, l1=0.5)
    plain, of_loss, plain_logged = gradients(without, batch, monkeypatch)
    total, of_both, logged = gradients(with_l1, batch, monkeypatch)
    penalised = 0
    for name, weight in with_l1.network.named_parameters():
        owner = with_l1.network.get_submodule(name.rpartition(".")[0])
        is_kernel = isinstance(owner, CONVOLUTIONS) and name.endswith(".weight")
        expected = 0.5 * weight.detach().sign() if is_kernel else torch.zeros_like(weight)
        # Sums of some hundred float32 numbers of about 0.1.
        torch.testing.assert_close(of_both[name] - of_loss[name], expected, rtol=0, atol=1e-5)
        penalised += is_kernel
    assert penalised == 2 + 2 + 1 + 2 + 1
    absolute = sum(weight.abs().sum().item() for weight in decayed_parameters(with_l1.network))
    assert absolute > 1.0
    assert total == pytest.approx(plain + 0.5 * absolute, rel=1e-5)
    # The loss that is shown is comparable with the validation's, which has no penalty.
    assert logged == plain_logged == {"train_loss": pytest.approx(plain, rel=1e-6)}


def test_validation_loss_has_no_penalty(regular, monkeypatch):
    torch.manual_seed(1)
    batch = {
        "image": torch.randn(1, 1, 6, 6, 6),
        "target": torch.randint(0, 2, (1, 1, 6, 6, 6)),
    }
    losses = []
    for l1 in (0.0, 0.5):
        module = regular(l1=l1).eval()
        logged = record(module, monkeypatch)
        module.validation_step(batch, 0)
        losses.append(logged["val_loss"])
    assert losses[0] == losses[1]


def test_dropout_reaches_each_level(regular):
    module = regular(dropout=(0.25, 0.5))
    found = {
        name: layer.p
        for name, layer in module.network.named_modules()
        if isinstance(layer, torch.nn.Dropout3d)
    }
    assert found == {
        "encoders.0.dropout": 0.25,
        "encoders.1.dropout": 0.5,
        "decoders.0.dropout": 0.25,
    }


def test_loss_by_name(blob_plan):
    logits = torch.tensor([0.0, 2.0]).reshape(1, 2, 1, 1, 1)
    label = torch.ones(1, 1, 1, 1, 1, dtype=torch.int64)
    module = FittedModule(blob_plan, TrainingConfig(epochs=1, loss="cross_entropy"))
    # −log softmax of the right class: ln(1 + e⁻²).
    assert float(module.loss(logits, label)) == pytest.approx(0.126928, abs=1e-5)


def test_of_an_ensemble_one_member_is_fitted(blob_plan):
    plan = blob_plan.model_copy(update={"members": 3})
    module = FittedModule(plan, TrainingConfig(epochs=1))
    assert type(module.network) is UNet3d


def test_a_plan_without_a_network(blob_plan):
    plan = blob_plan.model_copy(update={"network": None})
    with pytest.raises(ConfigError, match=r"Blobs: a plan without a network"):
        FittedModule(plan, TrainingConfig(epochs=1))
