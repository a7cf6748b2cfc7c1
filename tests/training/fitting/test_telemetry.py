"""What a fit writes of itself: rows of figures, rows of layers, and its stop at a NaN."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from volunet.errors import TrainingError
from volunet.nets import network_of
from volunet.training.config import TrainingConfig
from volunet.training.fitting import telemetry as telemetry_module
from volunet.training.fitting.budget import Budget
from volunet.training.fitting.telemetry import (
    GRADIENT_NORM,
    LAYER_ROWS,
    ROWS,
    DivergedError,
    LayerTelemetry,
    Telemetry,
)


class Rows:
    """A logger that keeps what it is told."""

    def __init__(self):
        self.rows = []

    def log_metrics(self, figures, step):
        self.rows.append(figures | {"step": step})


@pytest.fixture
def module():
    """Two weights, whose gradients the tests set."""
    holder = torch.nn.Module()
    holder.weights = torch.nn.ParameterList([torch.zeros(1), torch.zeros(1)])
    return holder


@pytest.fixture
def trainer():
    """120 batches an epoch: a row is due every second one."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.25)
    return SimpleNamespace(
        optimizers=[optimizer],
        loggers=[Rows()],
        global_step=0,
        num_training_batches=2 * ROWS,
        callback_metrics={},
    )


@pytest.fixture
def loader():
    return SimpleNamespace(waited_s=0.0)


@pytest.fixture
def clock(monkeypatch):
    now = [500.0]
    monkeypatch.setattr(telemetry_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def batch_of(foreground):
    label = torch.zeros(1, 1, 1, 1, 10, dtype=torch.int64)
    label[..., :foreground] = 1
    label[..., :1] *= 2  # any class but the background counts
    return {"target": label}


def make_step(telemetry, trainer, module, loss=1.0, gradients=(3.0, 4.0), foreground=0):
    for weight, gradient in zip(module.weights, gradients, strict=True):
        weight.grad = None if gradient is None else torch.tensor([gradient])
    telemetry.on_before_optimizer_step(trainer, module, trainer.optimizers[0])
    trainer.global_step += 1
    trainer.callback_metrics = {"train_loss": torch.tensor(loss)}
    # What is minimised is another number: accumulation divides it and a penalty is added.
    outputs = {"loss": torch.tensor(99.0)}
    telemetry.on_train_batch_end(trainer, module, outputs, batch_of(foreground), 0)


def test_a_row(trainer, module, loader, clock):
    telemetry = Telemetry(Budget(TrainingConfig(epochs=1)), loader)
    telemetry.on_train_start(trainer, module)
    make_step(telemetry, trainer, module, loss=1.0, gradients=(3.0, 4.0), foreground=2)
    assert trainer.loggers[0].rows == []
    make_step(telemetry, trainer, module, loss=2.0, gradients=(None, -13.0), foreground=5)
    (row,) = trainer.loggers[0].rows
    assert GRADIENT_NORM == 12.0
    assert row == {
        "step": 2,
        "elapsed_s": 0.0,
        "learning_rate": 0.25,
        "train_loss": pytest.approx(1.5),
        "gradient_norm": pytest.approx((5.0 + 13.0) / 2),
        "clipped_share": 0.5,
        "waiting_share": 0.0,
        "foreground_share": pytest.approx(0.35),
    }
    # The end writes what is left, of those steps alone.
    make_step(telemetry, trainer, module, loss=7.0, gradients=(0.0, 1.0), foreground=10)
    telemetry.on_train_end(trainer, module)
    telemetry.on_train_end(trainer, module)
    assert len(trainer.loggers[0].rows) == 2
    last = trainer.loggers[0].rows[1]
    assert (last["step"], last["train_loss"], last["gradient_norm"]) == (3, 7.0, 1.0)
    assert (last["clipped_share"], last["foreground_share"]) == (0.0, 1.0)


def test_rows_are_few(trainer, module, loader):
    trainer.num_training_batches = 1000
    telemetry = Telemetry(Budget(TrainingConfig(epochs=1)), loader)
    telemetry.on_train_start(trainer, module)
    for _ in range(1000):
        make_step(telemetry, trainer, module)
    telemetry.on_train_end(trainer, module)
    steps = [row["step"] for row in trainer.loggers[0].rows]
    # One every 17 steps, the next whole number above 1000 / 60.
    assert steps == [*range(17, 1000, 17), 1000]


def test_waiting(trainer, module, loader, clock):
    telemetry = Telemetry(Budget(TrainingConfig(epochs=1)), loader)
    assert telemetry.waiting_share == 0.0
    telemetry.on_train_start(trainer, module)
    for seconds, waited in ((10.0, 3.0), (30.0, 1.0)):
        clock[0] += seconds
        loader.waited_s += waited
        make_step(telemetry, trainer, module)
        make_step(telemetry, trainer, module)
    # Of the row's own time in the row, of the whole fit in all.
    shares = [row["waiting_share"] for row in trainer.loggers[0].rows]
    assert shares == pytest.approx([0.3, 1 / 30])
    assert telemetry.waiting_share == pytest.approx(4 / 40)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_stops_before_the_step(trainer, module, loader, value):
    telemetry = Telemetry(Budget(TrainingConfig(epochs=1)), loader)
    telemetry.on_train_start(trainer, module)
    make_step(telemetry, trainer, module)
    message = (
        r"step 1: a loss or gradient that is not finite\.\n"
        r"Loss and gradients are finite numbers at each step\.\n"
        r"The weights and the checkpoint from before it are kept; volunet doctor RUN says what"
    )
    with pytest.raises(DivergedError, match=message) as caught:
        make_step(telemetry, trainer, module, gradients=(1.0, value))
    assert isinstance(caught.value, TrainingError)
    assert trainer.global_step == 1
    # What it was is written down.
    (row,) = trainer.loggers[0].rows
    assert not np.isfinite(row["gradient_norm"])
    assert not np.isfinite(row["train_loss"])
    assert row["step"] == 1


def test_validations_have_their_time(trainer, loader):
    now = [70.0]
    budget = Budget(TrainingConfig(minutes=9), 50.0, clock=lambda: now[0])
    logged = []
    module = SimpleNamespace(log=lambda name, value, **keys: logged.append((name, value, keys)))
    Telemetry(budget, loader).on_validation_epoch_end(trainer, module)
    assert logged == [("elapsed_s", 20.0, {"rank_zero_only": True})]


# Layers.


@pytest.fixture
def network(blob_plan):
    """A leaky ReLU, behind which every layer has a gradient."""
    changes = {"norm": "none", "features": (2, 4), "activation": "leaky_relu"}
    plan = blob_plan.network.model_copy(update=changes)
    torch.manual_seed(0)
    return network_of(blob_plan.model_copy(update={"network": plan}))


def layers_trainer(epochs_of=LAYER_ROWS):
    return SimpleNamespace(global_step=0, num_training_batches=epochs_of)


def fit_batch(sample, trainer, network, *, steps=True, rate=0.1):
    """One batch: a pass forward and back, and unless it is accumulated a step."""
    holder = SimpleNamespace(network=network)
    sample.on_train_batch_start(trainer, holder, None, 0)
    network(torch.randn(1, 1, 4, 4, 4)).square().mean().backward()
    if steps:
        sample.on_before_optimizer_step(trainer, holder, None)
        gradients = {
            name: float(layer.weight.grad.norm()) for name, layer in convolutions(network).items()
        }
        with torch.no_grad():
            for weight in network.parameters():
                weight -= rate * weight.grad
        network.zero_grad()
        trainer.global_step += 1
    else:
        gradients = {}
    sample.on_train_batch_end(trainer, holder, None, None, 0)
    return gradients


def convolutions(network):
    kinds = (torch.nn.Conv3d, torch.nn.ConvTranspose3d)
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, kinds)}


def rows_of(folder):
    with (folder / "layers.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


NAMES = [
    "encoders.0.conv1", "encoders.0.conv2", "encoders.1.conv1", "encoders.1.conv2",
    "upsamplings.0", "decoders.0.conv1", "decoders.0.conv2", "head",
]  # fmt: skip


def test_layers(network, tmp_path):
    sample = LayerTelemetry(tmp_path, Budget(TrainingConfig(epochs=1)), None)
    trainer = layers_trainer()
    gradients = fit_batch(sample, trainer, network)
    rows = rows_of(tmp_path)
    assert [row["layer"] for row in rows] == NAMES
    norms = {name: layer.weight.norm().item() for name, layer in convolutions(network).items()}
    before = {name: layer.weight.detach().clone() for name, layer in convolutions(network).items()}
    for row in rows:
        assert row["step"] == "1"
        # Six digits are written.
        assert float(row["weight_norm"]) == pytest.approx(norms[row["layer"]], rel=1e-5)
        assert float(row["gradient_norm"]) == pytest.approx(gradients[row["layer"]], rel=1e-5)
        assert row["update_ratio"] == ""
    gradients = fit_batch(sample, trainer, network)
    rows = rows_of(tmp_path)
    assert [row["step"] for row in rows] == ["1"] * 8 + ["2"] * 8
    for row in rows[8:]:
        weight = convolutions(network)[row["layer"]].weight.detach()
        moved = float((weight - before[row["layer"]]).norm() / weight.norm())
        # A difference of near numbers: float32 leaves 4 digits of it.
        assert float(row["update_ratio"]) == pytest.approx(moved, rel=1e-3)
        assert float(row["gradient_norm"]) == pytest.approx(gradients[row["layer"]], rel=1e-5)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_silent_channels(blob_plan, tmp_path, activation):
    # Without norms a convolution's answer is what its bias makes of it.
    changes = {"norm": "none", "features": (2, 4), "activation": activation}
    plan = blob_plan.network.model_copy(update=changes)
    torch.manual_seed(0)
    network = network_of(blob_plan.model_copy(update={"network": plan}))
    with torch.no_grad():
        # Biases that no answer of the layers before makes up for.
        for name, dead, size in (("encoders.0.conv1", 1, 1e3), ("encoders.1.conv2", 3, 1e9)):
            layer = convolutions(network)[name]
            layer.bias.fill_(size)
            layer.bias[:dead] = -size
    sample = LayerTelemetry(tmp_path, Budget(TrainingConfig(epochs=1)), None)
    fit_batch(sample, layers_trainer(), network, rate=0.0)
    silent = {row["layer"]: row["silent_share"] for row in rows_of(tmp_path)}
    assert (silent["encoders.0.conv1"], silent["encoders.1.conv2"]) == ("0.5", "0.75")
    # Nothing listens behind these.
    assert (silent["upsamplings.0"], silent["head"]) == ("", "")


def test_layers_are_sampled_now_and_then(network, tmp_path):
    sample = LayerTelemetry(tmp_path, Budget(TrainingConfig(epochs=1)), None)
    trainer = layers_trainer(4 * LAYER_ROWS)
    hooks = []
    for _ in range(9):
        fit_batch(sample, trainer, network)
        hooks.append(sum(len(module._forward_hooks) for module in network.modules()))
    # At the steps 0, 4 and 8, and the row says which step was made.
    assert sorted({int(row["step"]) for row in rows_of(tmp_path)}) == [1, 5, 9]
    # Between the samples nothing listens, which would slow each pass down.
    assert hooks == [0] * 9


def test_a_sample_goes_on_until_the_step_is_made(network, tmp_path):
    """Of accumulated batches the last alone has the step's gradient."""
    sample = LayerTelemetry(tmp_path, Budget(TrainingConfig(epochs=1)), None)
    trainer = layers_trainer()
    fit_batch(sample, trainer, network, steps=False)
    assert not (tmp_path / "layers.csv").exists()
    gradients = fit_batch(sample, trainer, network)
    rows = rows_of(tmp_path)
    assert [row["layer"] for row in rows] == NAMES
    for row in rows:
        assert gradients[row["layer"]] > 0
        assert float(row["gradient_norm"]) == pytest.approx(gradients[row["layer"]], rel=1e-5)


def test_a_frozen_layer_has_no_gradient(network, tmp_path):
    network.encoders[0].conv1.weight.requires_grad_(False)
    sample = LayerTelemetry(tmp_path, Budget(TrainingConfig(epochs=1)), None)
    trainer = layers_trainer()
    holder = SimpleNamespace(network=network)
    sample.on_train_batch_start(trainer, holder, None, 0)
    network(torch.randn(1, 1, 4, 4, 4)).square().mean().backward()
    sample.on_before_optimizer_step(trainer, holder, None)
    sample.on_train_batch_end(trainer, holder, None, None, 0)
    found = {row["layer"]: float(row["gradient_norm"]) for row in rows_of(tmp_path)}
    assert found["encoders.0.conv1"] == 0.0
    assert all(norm > 0 for name, norm in found.items() if name != "encoders.0.conv1")


def test_a_fit_that_goes_on_keeps_its_rows(network, tmp_path):
    sample = LayerTelemetry(tmp_path, Budget(TrainingConfig(epochs=1)), None)
    trainer = layers_trainer()
    for _ in range(3):
        fit_batch(sample, trainer, network)
    written = rows_of(tmp_path)
    # Its last checkpoint was of step 2.
    again = LayerTelemetry(tmp_path, Budget(TrainingConfig(epochs=1)), 2)
    trainer.global_step = 2
    fit_batch(again, trainer, network)
    rows = rows_of(tmp_path)
    assert rows[:16] == written[:16]
    assert [row["step"] for row in rows[16:]] == ["3"] * 8
    # Of the weights before the interruption nothing is known.
    assert {row["update_ratio"] for row in rows[16:]} == {""}
    # A new fit keeps none.
    fresh = LayerTelemetry(tmp_path, Budget(TrainingConfig(epochs=1)), None)
    fit_batch(fresh, layers_trainer(), network)
    assert len(rows_of(tmp_path)) == 8
    # Without the file there is nothing to keep.
    (tmp_path / "layers.csv").unlink()
    fit_batch(
        LayerTelemetry(tmp_path, Budget(TrainingConfig(epochs=1)), 2), layers_trainer(), network
    )
    assert len(rows_of(tmp_path)) == 8


def test_only_the_first_process_samples(network, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    sample = LayerTelemetry(tmp_path, Budget(TrainingConfig(epochs=1)), None)
    fit_batch(sample, layers_trainer(), network)
    assert list(tmp_path.iterdir()) == []
