"""Checkpoints: whole or not at all, read without running code; the best weights are kept."""

from __future__ import annotations

import pathlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from safetensors.torch import load_file

from volunet.errors import ConfigError, OutputError, TrainingError
from volunet.nets import network_of
from volunet.tasks.segmentation.plan import DICE
from volunet.training.fitting.averaging import AveragedWeights
from volunet.training.fitting.checkpoints import (
    INTERVAL,
    BestWeights,
    SafeCheckpointIO,
    last_checkpoint,
    read_checkpoint,
)
from volunet.training.record.run_folder import read_best_score, write_weights


class Trap:
    """Makes a file when it is unpickled, as a malicious checkpoint would run code."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return pathlib.Path.touch, (self.place,)


def test_round_trip(tmp_path):
    path = tmp_path / "last.ckpt"
    weight = torch.arange(6.0).reshape(2, 3)
    SafeCheckpointIO().save_checkpoint({"global_step": 7, "state": {"w": weight}}, path)
    for found in (SafeCheckpointIO().load_checkpoint(path), read_checkpoint(path)):
        assert found["global_step"] == 7
        np.testing.assert_array_equal(found["state"]["w"].numpy(), weight.numpy())
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("kind", ["code", "class instance"])
def test_arbitrary_unpickling_is_refused(tmp_path, kind):
    path, trap = tmp_path / "last.ckpt", tmp_path / "trapped"
    content = Trap(trap) if kind == "code" else SimpleNamespace(global_step=1)
    torch.save({"global_step": 1, "extra": content}, path)
    message = (
        r"last\.ckpt: a checkpoint that would need arbitrary unpickling\.\n"
        r"A checkpoint holds tensors and plain data; .* refused\.\n"
        r"Use a checkpoint that volunet wrote\."
    )
    with pytest.raises(ConfigError, match=message):
        read_checkpoint(path)
    # Lightning asks for whatever it likes; the answer is the same.
    with pytest.raises(ConfigError, match="arbitrary unpickling"):
        SafeCheckpointIO().load_checkpoint(path, weights_only=False)
    assert not trap.exists()


def test_the_trap_works(tmp_path):
    """The check above would fail if checkpoints were unpickled."""
    path, trap = tmp_path / "last.ckpt", tmp_path / "trapped"
    torch.save({"extra": Trap(trap)}, path)
    torch.load(path, weights_only=False)
    assert trap.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated(tmp_path, share):
    path = tmp_path / "last.ckpt"
    torch.save({"w": torch.zeros(1000)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        ConfigError, match=r"last\.ckpt: a damaged checkpoint \(.+\)\.\n.*\nRestore"
    ):
        read_checkpoint(path)


def test_missing(tmp_path):
    with pytest.raises(ConfigError, match=r"last\.ckpt: no such checkpoint\.\n.*every half minute"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_failed_save_leaves_the_old_one(tmp_path):
    path = tmp_path / "last.ckpt"
    SafeCheckpointIO().save_checkpoint({"global_step": 1}, path)
    before = path.read_bytes()
    with pytest.raises((AttributeError, TypeError, ValueError, RuntimeError)):
        SafeCheckpointIO().save_checkpoint({"w": torch.zeros(99), "f": lambda: None}, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_full_disk_leaves_the_old_one(tmp_path, files_of_at_most):
    path = tmp_path / "last.ckpt"
    SafeCheckpointIO().save_checkpoint({"global_step": 1}, path)
    before = path.read_bytes()
    with (
        files_of_at_most(2 * len(before)),
        pytest.raises(OutputError, match=r"last\.ckpt: cannot be written: file too large\.\n"),
    ):
        SafeCheckpointIO().save_checkpoint({"w": torch.zeros(10_000)}, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]


def test_last_checkpoint_is_half_a_minute_old_at_most(tmp_path):
    callback = last_checkpoint(tmp_path)
    assert INTERVAL.total_seconds() == 30
    assert callback._train_time_interval == INTERVAL
    assert (callback.dirpath, callback.filename) == (str(tmp_path), "last")


@pytest.mark.parametrize(("accumulate", "due"), [(1, [0, 1, 2, 3, 4, 5]), (3, [2, 5])])
def test_last_checkpoint_is_between_steps(tmp_path, monkeypatch, accumulate, due):
    saved = []
    monkeypatch.setattr(
        ModelCheckpoint, "on_train_batch_end", lambda *arguments: saved.append(arguments[-1])
    )
    callback = last_checkpoint(tmp_path)
    trainer = SimpleNamespace(accumulate_grad_batches=accumulate)
    for batch in range(6):
        callback.on_train_batch_end(trainer, None, None, None, batch)
    assert saved == due


@pytest.fixture
def module(blob_plan):
    """A fit's module, whose own weights are not the average."""
    return SimpleNamespace(network=network_of(blob_plan))


@pytest.fixture
def average(blob_plan):
    """The averaged network."""
    return network_of(blob_plan)


@pytest.fixture
def averaged(average):
    """Knows the averaged network, whatever the module."""
    callback = AveragedWeights()
    callback._average_model = SimpleNamespace(module=SimpleNamespace(network=average))
    return callback


def validated(best, module, dice, step=0):
    trainer = SimpleNamespace(callback_metrics={"val_dice": dice}, global_step=step)
    best.on_validation_end(trainer, module)


def assert_kept(folder, network):
    kept = load_file(folder / "weights.safetensors")
    expected = network.state_dict()
    assert set(kept) == set(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(kept[name].numpy(), tensor.numpy())


def test_best_weights_are_kept(tmp_path, module, average, averaged):
    best = BestWeights(tmp_path, averaged, DICE)
    assert best.best_score is None
    file = tmp_path / "weights.safetensors"
    contents = []
    for step, dice in enumerate([0.0, 0.3, 0.2, 0.3, 0.5]):
        with torch.no_grad():
            next(average.parameters()).add_(1.0)
        validated(best, module, dice, step)
        contents.append(file.read_bytes())
        assert best.validated_at == step
    assert contents[0] != contents[1]
    assert contents[1] == contents[2] == contents[3]
    assert contents[3] != contents[4]
    assert read_best_score(tmp_path) == 0.5
    assert_kept(tmp_path, average)
    # A fit that goes on does not replace them by worse ones.
    again = BestWeights(tmp_path, averaged, DICE)
    assert again.best_score == 0.5
    validated(again, module, 0.4)
    assert file.read_bytes() == contents[4]


def test_of_weights_without_any_overlap_the_later_are_kept(tmp_path, module, average, averaged):
    best = BestWeights(tmp_path, averaged, DICE)
    for step in range(2):
        with torch.no_grad():
            next(average.parameters()).add_(1.0)
        validated(best, module, 0.0, step)
    assert_kept(tmp_path, average)
    assert read_best_score(tmp_path) == 0.0


@pytest.mark.parametrize(("dice", "written"), [(None, True), (0.2, False)], ids=["never", "once"])
def test_end_of_the_fit(tmp_path, module, average, averaged, dice, written):
    best = BestWeights(tmp_path, averaged, DICE)
    file = tmp_path / "weights.safetensors"
    if dice is not None:
        validated(best, module, dice)
        file.unlink()
    saved = []
    trainer = SimpleNamespace(save_checkpoint=saved.append, should_stop=False, global_step=4)
    best.on_train_batch_end(trainer, module, None, None, 3)
    assert saved == []
    best.on_train_end(trainer, module)
    assert saved == [tmp_path / "last.ckpt"]
    assert file.exists() is written
    assert read_best_score(tmp_path) is None
    if written:
        assert_kept(tmp_path, average)


def test_state_of_a_fit_that_is_stopped_is_saved_at_its_last_batch(tmp_path, module, averaged):
    best = BestWeights(tmp_path, averaged, DICE)
    saved = []
    trainer = SimpleNamespace(
        save_checkpoint=lambda path: saved.append((path.name, trainer.global_step)),
        should_stop=True,
        global_step=4,
    )
    best.on_train_batch_end(trainer, module, None, None, 3)
    assert saved == [("last.ckpt", 4)]
    # What Lightning counts after the epoch's end does not replace it.
    best.on_train_end(trainer, module)
    assert saved == [("last.ckpt", 4)]


@pytest.mark.parametrize(
    ("error", "dice", "written"),
    [
        (TrainingError("step 3", "NaN", "A number.", "Mend it."), None, True),
        (TrainingError("step 3", "NaN", "A number.", "Mend it."), 0.25, False),
        (KeyboardInterrupt(), None, False),
        (ZeroDivisionError("ours"), None, False),
    ],
    ids=["first", "validated", "interrupted", "ours"],
)
def test_weights_of_a_fit_that_stopped_itself(
    tmp_path, module, average, averaged, error, dice, written
):
    if dice is not None:
        write_weights(tmp_path, module.network, dice)
    best = BestWeights(tmp_path, averaged, DICE)
    best.on_exception(SimpleNamespace(), module, error)
    if written:
        assert_kept(tmp_path, average)
        assert read_best_score(tmp_path) is None
    elif dice is not None:
        assert_kept(tmp_path, module.network)
        assert read_best_score(tmp_path) == dice
    else:
        assert list(tmp_path.iterdir()) == []


def test_only_the_first_process_writes_weights(tmp_path, module, averaged, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    best = BestWeights(tmp_path, averaged, DICE)
    validated(best, module, 0.5)
    assert best.best_score == 0.5
    assert list(tmp_path.iterdir()) == []
