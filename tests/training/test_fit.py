"""The fit on four tiny cases: what it leaves behind, that it learns, goes on and stops."""

from __future__ import annotations

import csv
import math
import os
import signal
from datetime import timedelta

import numpy as np
import pytest
import torch

from volunet.datasets.cache import prepare_cases
from volunet.datasets.layouts import read_dataset
from volunet.datasets.patches import TrainingPatches
from volunet.errors import ConfigError
from volunet.training import checkpoints
from volunet.training import fit as fit_module
from volunet.training.checkpoints import read_checkpoint
from volunet.training.config import TrainingConfig
from volunet.training.fit import fit
from volunet.training.run_folder import Run, read_best_dice, read_network, write_run


class DiedError(Exception):
    """Ends a fit from within, where a killed process would end."""


@pytest.fixture(scope="module")
def plan(blob_plan):
    """Patches of a whole case, two of the three training cases a step."""
    return blob_plan.model_copy(update={"patch_size": (12, 12, 12)})


@pytest.fixture(scope="module")
def cases(blobs, plan, tmp_path_factory):
    dataset = read_dataset(blobs)
    return prepare_cases(dataset.cases, dataset, plan, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def start(plan, cases, tmp_path):
    """Fit three cases, the fourth validates; `name` is the run's folder."""

    def run(name="run", *, resume=False, report=None, validation=1, plan=plan, **config):
        config = TrainingConfig(**({"workers": 0} | config))
        folder = tmp_path / name
        names = [case.name for case in cases]
        description = Run(folder, plan, config, "blobs", tuple(names[:3]), tuple(names[3:]))
        folder.mkdir(exist_ok=resume)
        write_run(description)
        split = len(cases) - validation
        result = fit(description, cases[:split], cases[split:], resume=resume, report=report)
        return description, result

    return run


@pytest.fixture
def indices(monkeypatch):
    """The numbers of the training patches, as they are asked for."""
    asked = []
    original = TrainingPatches.__getitem__

    def record(self, index):
        asked.append(index)
        return original(self, index)

    monkeypatch.setattr(TrainingPatches, "__getitem__", record)
    return asked


def metrics(run):
    with (run.folder / "metrics.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def column(run, name):
    return [float(row[name]) for row in metrics(run) if row[name]]


def last_weights(run):
    state = read_checkpoint(run.folder / "last.ckpt")["state_dict"]
    return {name.removeprefix("network."): tensor for name, tensor in state.items()}


def interrupt_after(count):
    """A report function that sends Ctrl-C when it is told of the batch of that number."""
    told = []

    def report(done, figures):
        told.append(done)
        if len(told) == count:
            os.kill(os.getpid(), signal.SIGINT)

    return report


def test_two_epochs(start):
    told = []
    handler = signal.getsignal(signal.SIGINT)
    run, result = start(epochs=2, report=lambda done, figures: told.append((done, figures)))
    # Three cases in batches of two are two steps an epoch.
    assert result.steps == 4
    assert result.interrupted is False
    assert 0 < result.elapsed_s < 60
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "curve.png", "last.ckpt", "metrics.csv", "plan.json", "run.json", "tensorboard",
        "weights.safetensors",
    ]  # fmt: skip
    rows = metrics(run)
    assert sorted(rows[0]) == ["epoch", "step", "train_loss", "val_dice", "val_loss"]
    # A row of the training and one of the validation for each epoch, by steps from 0.
    assert [(int(row["epoch"]), int(row["step"])) for row in rows] == [
        (0, 1), (0, 1), (1, 3), (1, 3),
    ]  # fmt: skip
    dice = column(run, "val_dice")
    assert len(dice) == len(column(run, "val_loss")) == len(column(run, "train_loss")) == 2
    assert result.best_dice == max(dice) == read_best_dice(run.folder)
    assert 0 <= result.best_dice <= 1
    # Told after each batch and each validation, of a share of the budget that only grows.
    assert [done for done, _ in told] == [0.25, 0.5, 0.5, 0.75, 1.0, 1.0]
    assert told[-1][1]["val_dice"] == pytest.approx(dice[-1])
    # No handler is left behind.
    assert signal.getsignal(signal.SIGINT) is handler


def test_best_weights_are_those_of_the_best_validation(start, plan):
    run, _ = start(epochs=2)
    network = read_network(run)
    answer = network(torch.zeros(1, 1, 5, 6, 7))
    assert tuple(answer.shape) == (1, 2, 5, 6, 7)
    dice = column(run, "val_dice")
    last, best = last_weights(run), network.state_dict()
    same = all(torch.equal(last[name], best[name]) for name in best)
    # With equal Dice the first stays.
    assert same is (dice[1] > dice[0])


def test_it_learns(start):
    run, result = start(epochs=30, learning_rate=0.02, seed=1)
    losses = column(run, "train_loss")
    assert len(losses) == 30
    # Undecided it is ½ and more of Dice loss + ln 2 of cross-entropy; balls three times brighter
    # than their background are easy.
    assert losses[0] > 1.2
    assert np.mean(losses[-3:]) < 0.6 * losses[0]
    assert result.best_dice > 0.7


@pytest.mark.parametrize("workers", [0, 1])
def test_same_seed_same_weights(start, workers):
    first, _ = start("first", epochs=2, seed=3)
    second, _ = start("second", epochs=2, seed=3, workers=workers)
    weights = last_weights(first)
    for name, tensor in last_weights(second).items():
        np.testing.assert_array_equal(tensor.numpy(), weights[name].numpy())
    third, _ = start("third", epochs=1, seed=4)
    assert not torch.equal(last_weights(third)["head.weight"], weights["head.weight"])


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


def same_as_uninterrupted(start, indices, steps, interrupt):
    """Fit three epochs in one, then in two parts, and compare."""
    whole, expected = start("whole", epochs=3)
    interrupt()
    checkpoint = whole.folder.parent / "parts" / "last.ckpt"
    assert read_checkpoint(checkpoint)["global_step"] == steps
    indices.clear()
    run, second = start("parts", epochs=3, resume=True)
    assert (second.steps, second.interrupted) == (expected.steps, False) == (6, False)
    # The patches behind the last step, in their order.
    assert indices == list(range(2 * steps, 12))
    weights = last_weights(whole)
    for name, tensor in last_weights(run).items():
        # The same patches at the same learning rates: the same sums.
        np.testing.assert_allclose(tensor.numpy(), weights[name].numpy(), rtol=1e-5, atol=1e-6)


# Reports come after batch 1, batch 2, the validation of epoch 1, batch 3, batch 4, ...; the batch
# that follows the interrupt is the last.
@pytest.mark.parametrize(("after", "steps"), [(1, 2), (3, 3), (4, 4)])
def test_interrupted_and_resumed_is_as_if_it_never_was(start, indices, after, steps):
    def interrupt():
        run, first = start("parts", epochs=3, report=interrupt_after(after))
        assert (first.steps, first.interrupted) == (steps, True)
        assert math.isfinite(first.best_dice)
        assert read_network(run).training is False

    same_as_uninterrupted(start, indices, steps, interrupt)


@pytest.mark.parametrize(("after", "steps"), [(2, 1), (4, 2), (5, 3)])
def test_killed_and_resumed_is_as_if_it_never_was(start, indices, monkeypatch, after, steps):
    """A checkpoint follows each batch; the fit dies before that of the batch it was told of."""
    monkeypatch.setattr(checkpoints, "INTERVAL", timedelta(microseconds=1))
    told = []

    def die(done, figures):
        told.append(done)
        if len(told) == after:
            raise DiedError

    def kill():
        with pytest.raises(DiedError):
            start("parts", epochs=3, report=die)

    same_as_uninterrupted(start, indices, steps, kill)


def test_resume_of_a_finished_fit(start, indices):
    _, first = start("run", epochs=1)
    indices.clear()
    _, second = start("run", epochs=1, resume=True)
    assert indices == []
    assert second.steps == first.steps == 2
    assert second.best_dice == first.best_dice


def test_resume_without_a_checkpoint(start, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(ConfigError, match=r"last\.ckpt: no such checkpoint"):
        start("run", epochs=1, resume=True)


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


def test_patience(start, plan):
    # Without norms and at a learning rate of 1e-12 no weight changes, so that no Dice is better.
    network = plan.network.model_copy(update={"norm": "none"})
    still = plan.model_copy(update={"network": network})
    run, result = start(epochs=40, patience=2, learning_rate=1e-12, weight_decay=0.0, plan=still)
    # The first validation is the best; the second and third are no better.
    assert len(column(run, "val_dice")) == 3
    assert result.steps == 6
    run, result = start("patient", epochs=5, patience=0, learning_rate=1e-12, plan=still)
    assert result.steps == 10


def test_all_cases_train(start, caplog):
    run, result = start(epochs=2, fold="all", validation=0, patience=1)
    # Four cases are two steps an epoch.
    assert result.steps == 4
    assert math.isnan(result.best_dice)
    assert read_best_dice(run.folder) == -1.0
    assert sorted(metrics(run)[0]) == ["epoch", "step", "train_loss"]
    assert "Nothing validates, so that patience 1 has no effect." in caplog.text
    # Nothing says which weights are best: they are the last.
    last = last_weights(run)
    for name, tensor in read_network(run).state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), last[name].numpy())


def test_minutes(start):
    told = []
    run, result = start(minutes=0.03, report=lambda done, figures: told.append(done))
    # 1.8 s, and at most a batch and the last validation more; slow machines take seconds for each.
    assert 1.8 <= result.elapsed_s < 20
    assert result.steps >= 2
    assert told[-1] == 1.0
    assert (np.diff(told) >= 0).all()
    # Validated at the end, though the shortest time between validations is ten seconds.
    assert len(column(run, "val_dice")) == 1
    assert result.best_dice == column(run, "val_dice")[0]


def test_at_most_so_many_validation_cases(start, monkeypatch):
    monkeypatch.setattr(fit_module, "MAX_VALIDATION_CASES", 1)
    looked_at = []
    original = fit_module.ValidationPatches

    def record(cases, plan):
        looked_at.append([case.name for case in cases])
        return original(cases, plan)

    monkeypatch.setattr(fit_module, "ValidationPatches", record)
    start(epochs=1, validation=2)
    assert looked_at == [["blob_2"]]
