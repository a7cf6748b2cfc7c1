"""The fit on four tiny cases: what it leaves behind, that it learns, goes on and stops."""

from __future__ import annotations

import csv
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import get_total_norm

from volunet.datasets.cache import prepare_cases
from volunet.datasets.layouts import read_dataset
from volunet.errors import ConfigError
from volunet.training.config import TrainingConfig
from volunet.training.fitting import callbacks as callbacks_module
from volunet.training.fitting import fit as fit_module
from volunet.training.fitting import loaders as loaders_module
from volunet.training.fitting.checkpoints import read_checkpoint
from volunet.training.fitting.fit import fit
from volunet.training.fitting.module import FittedModule
from volunet.training.record.run_folder import Run, read_best_score, read_network, write_run


@pytest.fixture(scope="module")
def plan(blob_plan):
    """Patches of a whole case, two of the three training cases a step."""
    return blob_plan.model_copy(update={"patch_size": (12, 12, 12)})


@pytest.fixture(scope="module")
def cases(blobs, plan, tmp_path_factory):
    dataset = read_dataset(blobs)
    return prepare_cases(dataset.cases, dataset, plan, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def drawn(monkeypatch):
    """What would be drawn: each picture takes longer than the steps of these fits."""
    files = []
    monkeypatch.setattr(callbacks_module, "draw_curve", lambda file, *_: files.append(file))
    return files


@pytest.fixture
def start(plan, cases, tmp_path, drawn):
    """Fit three cases, the fourth validates; `name` is the run's folder.

    Keywords of `fit`, of `Run`, of `Plan` and of its measures replace those below; others are the
    configuration's.
    """

    def run(name="run", *, validation=1, prepared_s=0.0, plan=plan, **keys):
        of_fit = {k: keys.pop(k) for k in ("begun", "resume", "report") if k in keys}
        of_plan = {k: keys.pop(k) for k in ("network", "batch_size") if k in keys}
        measures = {k: keys.pop(k) for k in ("l1", "l2", "patience", "augmentation") if k in keys}
        measures = plan.regularisation.model_copy(update=measures)
        plan = plan.model_copy(update={"regularisation": measures} | of_plan)
        config = TrainingConfig(**({"workers": 0} | keys))
        folder = tmp_path / name
        names = [case.name for case in cases]
        split = len(cases) - validation
        description = Run(
            folder, plan, config, "blobs", tuple(names[:split]), tuple(names[split:]), prepared_s
        )
        folder.mkdir(exist_ok=of_fit.get("resume", False))
        write_run(description)
        return description, fit(description, cases[:split], cases[split:], **of_fit)

    return run


@pytest.fixture
def without_norm(plan):
    return plan.network.model_copy(update={"norm": "none"})


def table(file: Path):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def metrics(run):
    return table(run.folder / "metrics.csv")


def column(run, name):
    return [float(row[name]) for row in metrics(run) if row[name]]


def last_state(run, kind="state_dict"):
    """Weights of the last checkpoint, by name: the average, or the module's own."""
    state = read_checkpoint(run.folder / "last.ckpt")[kind]
    return {name.removeprefix("network."): tensor for name, tensor in state.items()}


def assert_same(left, right, **tolerance):
    assert set(left) == set(right)
    for name, tensor in left.items():
        np.testing.assert_allclose(
            tensor.numpy(), right[name].numpy(), **({"rtol": 0, "atol": 0} | tolerance)
        )


def interrupt_after(count):
    """A report function that sends Ctrl-C when it is told of the batch of that number."""
    told = []

    def report(done, figures):
        told.append(done)
        if len(told) == count:
            os.kill(os.getpid(), signal.SIGINT)

    return report


def test_two_epochs(start, drawn):
    told = []
    handler = signal.getsignal(signal.SIGINT)
    run, result = start(
        epochs=2, learning_rate=0.3, report=lambda done, figures: told.append((done, figures))
    )
    # Three cases in batches of two are two steps an epoch.
    assert result.steps == 4
    assert result.interrupted is False
    assert result.elapsed_s > 0
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "last.ckpt", "layers.csv", "metrics.csv", "plan.json", "run.json",
        "tensorboard", "weights.safetensors",
    ]  # fmt: skip
    # After both validations, and at the end.
    assert drawn == [run.folder / "metrics.csv"] * 3
    rows = metrics(run)
    trained = [row for row in rows if row["train_loss"]]
    validated = [row for row in rows if row["val_loss"]]
    assert [row in trained for row in rows] == [True, True, False] * 2
    # Steps that are made; Lightning numbers them from 0.
    assert [int(row["step"]) for row in trained] == [1, 2, 3, 4]
    assert [(int(row["epoch"]), int(row["step"])) for row in validated] == [(0, 1), (1, 3)]
    assert {name for row in trained for name, value in row.items() if value} == {
        "step", "elapsed_s", "learning_rate", "train_loss", "gradient_norm", "clipped_share",
        "waiting_share", "foreground_share",
    }  # fmt: skip
    assert {name for row in validated for name, value in row.items() if value} == {
        "step", "epoch", "elapsed_s", "val_loss", "val_dice", "train_dice",
    }  # fmt: skip
    # A quarter of the cosine and a thirtieth of the rise more at each step.
    rates = [0.3 * (step + 1) / 30 * 0.5 * (1 + math.cos(math.pi * step / 4)) for step in range(4)]
    assert column(run, "learning_rate") == pytest.approx(rates, rel=1e-5)
    assert (np.diff(column(run, "elapsed_s")) >= 0).all()
    assert all(0 < share < 0.5 for share in column(run, "foreground_share"))
    assert 0 < result.waiting_share < 1
    dice = column(run, "val_dice")
    assert result.best_score == max(dice) == read_best_score(run.folder)
    assert 0 <= result.best_score <= 1
    assert {int(row["step"]) for row in table(run.folder / "layers.csv")} == {1, 2, 3, 4}
    # Told after each batch and each validation, of a share of the budget that only grows.
    assert [done for done, _ in told] == [0.25, 0.5, 0.5, 0.75, 1.0, 1.0]
    assert told[-1][1]["val_dice"] == pytest.approx(dice[-1])
    # No handler is left behind.
    assert signal.getsignal(signal.SIGINT) is handler


def test_kept_weights_are_the_average_at_the_best_validation(start):
    run, _ = start(epochs=2)
    network = read_network(run)
    answer = network(torch.zeros(1, 1, 5, 6, 7))
    assert tuple(answer.shape) == (1, 2, 5, 6, 7)
    dice = column(run, "val_dice")
    average, own = (last_state(run, kind) for kind in ("state_dict", "current_model_state"))
    kept = network.state_dict()
    same = all(torch.equal(average[name], kept[name]) for name in kept)
    # With equal Dice the first stay, but for a Dice of 0.
    assert same is (dice[1] > dice[0] or dice[1] == dice[0] == 0)
    assert not torch.equal(own["head.weight"], average["head.weight"])
    assert not torch.equal(own["head.weight"], kept["head.weight"])


def test_average_is_of_every_step(start, monkeypatch):
    seen = []
    original = FittedModule.on_before_zero_grad

    def record(self, optimizer):
        seen.append(self.network.head.weight.detach().clone())
        return original(self, optimizer)

    monkeypatch.setattr(FittedModule, "on_before_zero_grad", record)
    run, _ = start(epochs=2)
    # Told at the begin of each step: the weights behind the one before.
    steps = [*seen[1:], last_state(run, "current_model_state")["head.weight"]]
    assert len(steps) == 4
    expected = steps[0]
    for count, weight in enumerate(steps[1:], start=1):
        expected = torch.lerp(expected, weight, 1 - (1 + count) / (10 + count))
    torch.testing.assert_close(last_state(run)["head.weight"], expected, rtol=1e-5, atol=1e-7)


def test_it_learns(start):
    run, result = start(epochs=30, learning_rate=0.02, seed=1)
    losses = column(run, "train_loss")
    # Of sixty steps; where rounding makes a sixtieth less than one, a row has two.
    assert 30 <= len(losses) <= 60
    # Undecided it is ½ and more of Dice loss + ln 2 of cross-entropy; balls three times brighter
    # than their background are easy.
    assert losses[0] > 1.2
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
    assert result.best_score > 0.7


@pytest.mark.parametrize("workers", [0, 1])
def test_same_seed_same_weights(start, workers):
    first, _ = start("first", epochs=2, seed=3)
    second, _ = start("second", epochs=2, seed=3, workers=workers)
    weights = last_state(first)
    assert_same(last_state(second), weights)
    third, _ = start("third", epochs=1, seed=4)
    assert not torch.equal(last_state(third)["head.weight"], weights["head.weight"])


def test_resume_goes_on(start, indices):
    start("resumed", epochs=1)
    assert indices == [0, 1, 2, 3]
    run, result = start("resumed", epochs=3, resume=True)
    assert indices == list(range(12))
    assert result.steps == 6
    rows = [(row["epoch"], row["step"]) for row in metrics(run)]
    indices.clear()
    whole, uninterrupted = start("whole", epochs=3)
    assert indices == list(range(12))
    assert uninterrupted.steps == 6
    assert rows == [(row["epoch"], row["step"]) for row in metrics(whole)]
    assert read_checkpoint(run.folder / "last.ckpt")["global_step"] == 6


# Reports come after batch 1, batch 2, the validation of epoch 1, batch 3, batch 4, ...; the batch
# that follows the interrupt is the last.
@pytest.mark.parametrize(("after", "steps"), [(1, 2), (3, 3), (4, 4)])
def test_interrupted_and_resumed_is_as_if_it_never_was(start, indices, after, steps):
    whole, expected = start("whole", epochs=3)
    run, first = start("parts", epochs=3, report=interrupt_after(after))
    assert (first.steps, first.interrupted) == (steps, True)
    assert math.isfinite(first.best_score)
    assert read_network(run).training is False
    assert read_checkpoint(run.folder / "last.ckpt")["global_step"] == steps
    indices.clear()
    run, second = start("parts", epochs=3, resume=True)
    assert (second.steps, second.interrupted) == (expected.steps, False) == (6, False)
    # The patches behind the last step, in their order.
    assert indices == list(range(2 * steps, 12))
    for kind in ("state_dict", "current_model_state"):
        # The same patches at the same learning rates: the same sums.
        assert_same(last_state(run, kind), last_state(whole, kind), rtol=1e-5, atol=1e-6)


def test_resume_of_a_finished_fit(start, indices):
    _, first = start("run", epochs=1)
    indices.clear()
    _, second = start("run", epochs=1, resume=True)
    assert indices == []
    assert second.steps == first.steps == 2
    assert second.best_score == first.best_score


def test_resume_without_a_checkpoint_begins_anew(start, indices, tmp_path):
    (tmp_path / "run").mkdir()
    _, result = start("run", epochs=1, resume=True, prepared_s=1000.0)
    assert indices == [0, 1, 2, 3]
    assert result.steps == 2
    # What preparing took is spent.
    assert 1000 < result.elapsed_s < 2000
    # Of a run that was not killed the clock itself says it.
    _, result = start("new", epochs=1, prepared_s=1000.0, begun=time.monotonic())
    assert result.elapsed_s < 1000


def test_resume_with_a_damaged_checkpoint(start, tmp_path):
    start("run", epochs=1)
    file = tmp_path / "run" / "last.ckpt"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    rows = (tmp_path / "run" / "metrics.csv").read_text()
    with pytest.raises(ConfigError, match=r"last\.ckpt: a damaged checkpoint"):
        start("run", epochs=2, resume=True)
    # Nothing is lost by the attempt.
    assert (tmp_path / "run" / "metrics.csv").read_text() == rows


def test_patience(start, without_norm):
    # Without norms and at a learning rate of 1e-12 no weight changes, so that no Dice is better.
    still = {"learning_rate": 1e-12, "l2": 0.0, "network": without_norm}
    run, result = start(epochs=40, patience=2, **still)
    # The first validation is the best; the second and third are no better.
    assert len(column(run, "val_dice")) == 3
    assert result.steps == 6
    run, result = start("patient", epochs=5, patience=0, **still)
    assert result.steps == 10


def test_every_case_trains(start, caplog):
    run, result = start(epochs=2, fold="none", validation=0, patience=1)
    # Four cases are two steps an epoch.
    assert result.steps == 4
    assert math.isnan(result.best_score)
    assert read_best_score(run.folder) is None
    assert not {"val_dice", "val_loss", "train_dice", "epoch"} & set(metrics(run)[0])
    assert "Nothing validates, so that patience 1 has no effect." in caplog.text
    # Nothing says which weights are best: they are the average of the last.
    assert_same(read_network(run).state_dict(), last_state(run))


def test_minutes(start):
    told = []
    run, result = start(minutes=0.03, report=lambda done, figures: told.append(done))
    assert result.steps >= 1
    assert told[-1] == 1.0
    assert (np.diff(told) >= 0).all()
    # Validated at the end, though the shortest time between validations is longer than this.
    assert len(column(run, "val_dice")) == 1
    assert result.best_score == column(run, "val_dice")[0]


def test_validations_in_a_budget_of_minutes(start, monkeypatch):
    asked = []

    def always(budget_s):
        asked.append(budget_s)
        return 0.0

    monkeypatch.setattr(fit_module, "validation_interval_s", always)
    run, result = start(minutes=0.03)
    assert asked == [pytest.approx(1.8)]
    assert len(column(run, "val_dice")) == result.steps


def test_a_budget_that_reading_has_spent(start):
    # A hundred seconds ago: of one minute nothing is left but for the step that each fit makes.
    run, result = start(minutes=1, begun=time.monotonic() - 100)
    assert (result.steps, column(run, "learning_rate")) == (1, [0.0])
    assert result.elapsed_s > 100


def test_a_bounded_number_of_cases_validates(start, monkeypatch):
    looked_at = []
    original = loaders_module.ValidationPatches

    def record(cases, plan):
        looked_at.append([case.name for case in cases])
        return original(cases, plan)

    monkeypatch.setattr(loaders_module, "ValidationPatches", record)
    start(epochs=1, validation=2, validation_cases=1)
    # Of the validation cases, and of the training cases beside them.
    assert looked_at == [["blob_2"], ["blob_0"]]


def test_accumulated_batches_are_one_step(start, without_norm, indices):
    # Means over voxels of two batches of two, and of one of four, are the same mean; SGD, as Adam
    # would magnify what rounding makes of gradients near 0.
    keys = {"epochs": 2, "loss": "cross_entropy", "optimizer": "sgd", "network": without_norm}
    parts, result = start("parts", accumulate=2, **keys)
    # Three cases are four patches, as an epoch is whole steps.
    assert (result.steps, indices) == (2, list(range(8)))
    whole, expected = start("whole", batch_size=4, **keys)
    assert expected.steps == 2
    assert_same(last_state(parts), last_state(whole), rtol=1e-4, atol=1e-6)
    for name in ("train_loss", "gradient_norm", "learning_rate", "foreground_share"):
        assert column(parts, name) == pytest.approx(column(whole, name), rel=1e-4)
    gradients = [
        [float(row["gradient_norm"]) for row in table(run.folder / "layers.csv")]
        for run in (parts, whole)
    ]
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-3)


def test_l1_pulls_the_weights_but_is_not_in_the_figures(start):
    plain, _ = start("plain", epochs=1)
    pulled, _ = start("pulled", epochs=1, l1=0.1)
    # The first step begins with the same weights.
    assert column(pulled, "train_loss")[0] == pytest.approx(column(plain, "train_loss")[0])
    assert column(pulled, "gradient_norm")[0] > 1.1 * column(plain, "gradient_norm")[0]
    kernels = [last_state(run)["encoders.1.conv2.weight"] for run in (pulled, plain)]
    assert float(kernels[0].abs().sum()) < float(kernels[1].abs().sum())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_of_activations(start, monkeypatch, precision):
    rounded = []
    original = FittedModule.training_step

    def record(self, batch, batch_idx):
        rounded.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        return original(self, batch, batch_idx)

    monkeypatch.setattr(FittedModule, "training_step", record)
    run, result = start(epochs=1, precision=precision)
    assert rounded == [(precision == "bfloat16", torch.bfloat16)] * 2
    weights = [tensor for tensor in last_state(run).values() if tensor.is_floating_point()]
    assert {tensor.dtype for tensor in weights} == {torch.float32}
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights)
    assert result.steps == 2


def test_gradients_are_clipped(start, monkeypatch):
    norms = []

    def record(self, optimizer):
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        if gradients:
            norms.append(float(get_total_norm(gradients)))

    original = FittedModule.training_step
    monkeypatch.setattr(FittedModule, "on_before_zero_grad", record)
    monkeypatch.setattr(
        FittedModule, "training_step", lambda *arguments: 1e4 * original(*arguments)
    )
    run, _ = start(epochs=2)
    # Behind the step a gradient is at most 12 long, as the first of each epoch shows: validation
    # clears the last. The table has what it was.
    assert norms == pytest.approx([12.0] * 2, rel=1e-4)
    assert min(column(run, "gradient_norm")) > 100
    assert column(run, "clipped_share") == [1.0] * 4
