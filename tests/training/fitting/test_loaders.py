"""The loaders of a fit: how many patches, from which cases, and what workers meet."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import get_worker_info

from volunet.datasets.cache import PreparedCase
from volunet.datasets.patches import TrainingPatches
from volunet.errors import DatasetError, TrainingError
from volunet.tasks.segmentation.target import sample_voxels
from volunet.training.fitting import loaders as loaders_module
from volunet.training.fitting.loaders import Loaders, TimedLoader, worker_errors


@pytest.fixture
def plan(blob_plan):
    """Patches of a whole case, as it is."""
    still = blob_plan.regularisation.model_copy(update={"augmentation": "none"})
    return blob_plan.model_copy(update={"patch_size": (4, 4, 4), "regularisation": still})


@pytest.fixture
def numbered(tmp_path):
    """Make cases; every voxel of case n has the value n; some show background alone."""

    def make(count, background=()):
        for n in range(count):
            label = np.zeros((4, 4, 4), np.uint8)
            label[1, 2, 3] = n not in background
            np.save(tmp_path / f"case_{n}.image.npy", np.full((1, 4, 4, 4), n, np.float32))
            np.save(tmp_path / f"case_{n}.target.npy", label)
            np.save(tmp_path / f"case_{n}.places.npy", sample_voxels(label, 2))
        return [PreparedCase(f"case_{n}", tmp_path) for n in range(count)]

    return make


@pytest.fixture
def load(plan):
    """Make loaders; keywords replace the defaults."""

    def make(training, validation=(), **keys):
        batch_size = keys.pop("batch_size", 2)
        given = {
            "seed": 0, "workers": 0, "accumulate": 1, "by_epochs": True, "looked_at": 24,
        } | keys  # fmt: skip
        changed = plan.model_copy(update={"batch_size": batch_size})
        return Loaders(changed, training, validation, **given)

    return make


def shown(loader):
    """The case of each patch, batch by batch."""
    return [batch["image"][:, 0, 0, 0, 0].int().tolist() for batch in loader]


@pytest.mark.parametrize("workers", [0, 1])
def test_batches(numbered, load, workers):
    loaders = load(numbered(3), workers=workers)
    assert len(loaders.training) == 2
    first, second = list(loaders.training)
    assert (first["image"].shape, first["image"].dtype) == ((2, 1, 4, 4, 4), torch.float32)
    assert (second["target"].shape, second["target"].dtype) == ((2, 1, 4, 4, 4), torch.int64)
    # Each case once, then the next round begins; the next epoch goes on with it.
    seen = [n for batch in [*shown([first, second]), *shown(loaders.training)] for n in batch]
    assert len(seen) == 8
    assert sorted(seen[:3]) == sorted(seen[3:6]) == [0, 1, 2]
    other = load(numbered(3), workers=workers, seed=1)
    assert [n for batch in shown(other.training) for n in batch] != seen[:4]


@pytest.mark.parametrize(
    ("cases", "batch_size", "accumulate", "batches"),
    [(3, 2, 1, 2), (4, 2, 1, 2), (1, 2, 1, 1), (3, 2, 2, 2), (5, 2, 2, 4), (9, 1, 4, 12)],
)
def test_an_epoch_shows_each_case_in_whole_steps(
    numbered, load, cases, batch_size, accumulate, batches
):
    loaders = load(numbered(cases), batch_size=batch_size, accumulate=accumulate)
    assert len(loaders.training) == batches
    assert loaders.sampler.num_samples == batches * batch_size
    assert {n for batch in shown(loaders.training) for n in batch} == set(range(cases))


@pytest.mark.parametrize(
    ("cases", "batch_size", "accumulate", "batches"),
    [(3, 2, 1, 1000), (5, 2, 2, 2000), (7, 1, 2, 2000), (3000, 2, 1, 1500)],
)
def test_where_epochs_do_not_count_they_are_long(
    numbered, load, cases, batch_size, accumulate, batches
):
    training = numbered(3) * (cases // 3) + numbered(cases % 3)
    loaders = load(training, by_epochs=False, batch_size=batch_size, accumulate=accumulate)
    assert len(loaders.training) == batches
    assert loaders.sampler.num_samples == batches * batch_size


def test_processes_share_the_patches(numbered, load, monkeypatch):
    cases = numbered(6)
    alone = [n for batch in shown(load(cases, batch_size=1).training) for n in batch]
    monkeypatch.setenv("WORLD_SIZE", "2")
    shares = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        loaders = load(cases, batch_size=1)
        assert len(loaders.training) == 3
        shares.append([n for batch in shown(loaders.training) for n in batch])
    assert shares == [alone[0::2], alone[1::2]]


def test_validation_looks_evenly_through_the_cases(numbered, load):
    cases = numbered(10)
    # Validation cases, then training cases beside them.
    first, second = load(cases, cases[:3], looked_at=4).validation
    assert shown(first) == [[0], [1], [2]]
    assert shown(second) == [[0], [2], [5], [7]]
    one, other = load(cases, cases, looked_at=1).validation
    assert shown(one) == shown(other) == [[0]]
    nothing, _ = load(cases).validation
    assert shown(nothing) == []


def test_validation_leaves_out_what_shows_background_alone(numbered, load):
    cases = numbered(6, background=(0, 1, 4))
    first, second = load(cases, cases[:3], looked_at=2).validation
    assert shown(first) == [[2]]
    assert shown(second) == [[2], [3]]
    alone, _ = load(cases, cases[:2]).validation
    # Where none shows anything, the task says whether that can be scored.
    assert shown(alone) == [[0], [1]]


def test_workers_hear_of_the_augmented_share(numbered, load, monkeypatch):
    def tell(self, index):
        share = float(self._augmented_share)
        return {"image": torch.tensor([share]), "target": torch.zeros(1)}

    monkeypatch.setattr(TrainingPatches, "__getitem__", tell)
    loaders = load(numbered(1), batch_size=1, workers=1, by_epochs=False)
    batches = iter(loaders.training)
    assert next(batches)["image"].tolist() == [[1.0]]
    loaders.patches.set_augmented_share(0.25)
    # Those that were made ahead stay.
    assert [float(next(batches)["image"]) for _ in range(12)][-1] == 0.25


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_file_is_named(numbered, load, tmp_path, workers):
    cases = numbered(3)
    (tmp_path / "case_1.image.npy").write_bytes(b"\x93NUMPY")
    message = (
        r"case_1\.image\.npy: case case_1's prepared array cannot be read \(.+\)\.\n.*\nDelete"
    )
    with pytest.raises(DatasetError, match=message) as caught:
        list(load(cases, workers=workers).training)
    # The error itself and no text of a worker's tracebacks.
    assert "Traceback" not in str(caught.value)
    assert str(caught.value.where) == str(tmp_path / "case_1.image.npy")


def test_a_killed_worker(numbered, load, monkeypatch):
    def die(self, index):
        assert get_worker_info() is not None
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(TrainingPatches, "__getitem__", die)
    message = (
        r"a process that prepares patches: ended by itself \(DataLoader worker .*\)\.\n"
        r"Such a process lives as long as the fit\. The system ends it where memory is short\.\n"
        r"Free memory, or prepare them without such processes: go on with --resume --workers 0\."
    )
    with pytest.raises(TrainingError, match=message):
        list(load(numbered(2), workers=1).training)


def test_mistakes_of_ours_stay_what_they_are(numbered, load, monkeypatch):
    def fail(self, index):
        raise RuntimeError("ours")

    monkeypatch.setattr(TrainingPatches, "__getitem__", fail)
    with pytest.raises(RuntimeError, match=r"^ours$") as caught:
        list(load(numbered(2)).training)
    assert not isinstance(caught.value, TrainingError)


def test_errors_of_workers_in_the_middle_of_a_step():
    killed = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.\nmore")
    message = r"ended by itself \(DataLoader worker \(pid 7\) is killed by signal: Killed\.\)\.\n"
    with pytest.raises(TrainingError, match=message) as caught, worker_errors():
        raise killed
    assert caught.value.__cause__ is killed
    # What is told already is not told again.
    with pytest.raises(TrainingError) as again, worker_errors():
        raise caught.value
    assert again.value is caught.value
    with pytest.raises(RuntimeError, match=r"^other$"), worker_errors():
        raise RuntimeError("other")


def test_waiting_is_measured(numbered, load, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(loaders_module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    original = TrainingPatches.__getitem__

    def slow(self, index):
        clock[0] += 2.0
        return original(self, index)

    monkeypatch.setattr(TrainingPatches, "__getitem__", slow)
    loader = load(numbered(6)).training
    assert isinstance(loader, TimedLoader)
    for _ in loader:
        clock[0] += 50.0  # a step, which waits for nothing
    # Three batches of two patches; the first of all is left out, the next round's is not.
    assert loader.waited_s == 8.0
    list(loader)
    assert loader.waited_s == 20.0


def test_workers_leave_ctrl_c_and_the_cores_to_the_fit(numbered, load, monkeypatch):
    def tell(self, index):
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        return {"image": torch.tensor([int(ignored), os.nice(0)]), "target": torch.zeros(1)}

    monkeypatch.setattr(TrainingPatches, "__getitem__", tell)
    (batch,) = load(numbered(1), batch_size=1, workers=1).training
    # 19 is the system's nicest.
    assert batch["image"].tolist() == [[1, min(19, os.nice(0) + 5)]]
