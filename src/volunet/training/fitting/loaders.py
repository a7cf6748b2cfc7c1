"""The data loaders of a fit: training patches, and a bounded number of validation patches."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from torch.utils.data import DataLoader, Dataset, default_collate

from volunet.datasets.cache import PreparedCase
from volunet.datasets.patches import (
    ConsecutiveSampler,
    Patch,
    TrainingPatches,
    ValidationPatches,
)
from volunet.errors import TrainingError, VolunetError
from volunet.plan import Plan
from volunet.training.fitting.processes import num_processes, process_rank

LONG_EPOCH: Final = 1000
"""Steps of an epoch where epochs do not count."""


class TimedLoader(DataLoader[Any]):
    """A loader that measures how long it is waited for, and raises what its workers met as it was.

    Attributes:
        waited_s: Seconds that were spent waiting for a batch, but for the first of all, for which
            workers have to be started.

    Raises:
        VolunetError: What a worker met, with the file.
        TrainingError: A worker was killed.
    """

    waited_s = 0.0
    _is_running = False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        batches = super().__iter__()
        while True:
            begin = time.monotonic()
            try:
                with worker_errors():
                    batch = next(batches)
            except StopIteration:
                return
            if isinstance(batch, VolunetError):
                raise batch
            if self._is_running:
                self.waited_s += time.monotonic() - begin
            self._is_running = True
            yield batch


@contextmanager
def worker_errors() -> Iterator[None]:
    """Say of a worker that was killed what to do.

    PyTorch raises its end from a signal's handler, so that it may also come in the middle of a
    step, while nobody waits for a batch.

    Raises:
        TrainingError: A worker was killed.
    """
    try:
        yield
    except RuntimeError as error:
        # What a worker itself raises comes as "Caught … in DataLoader worker process …".
        if not str(error).startswith("DataLoader worker"):
            raise
        # Waiting for a batch, "exited unexpectedly"; its cause then knows the signal.
        known = error.__cause__ if isinstance(error.__cause__, RuntimeError) else error
        raise TrainingError(
            "a process that prepares patches",
            f"ended by itself ({str(known).splitlines()[0]})",
            "Such a process lives as long as the fit. The system ends it where memory is short.",
            "Free memory, or prepare them without such processes: go on with --resume --workers 0.",
        ) from error


class Loaders:
    """The loaders of a run.

    Attributes:
        sampler: Says which patches train, in their order.
        patches: Makes them.
        training: Gives them in batches.
        looked_at: The patches that each validation looks at.
        validation: Gives them one by one; beside it as many of training cases.

    Args:
        plan: Says the patches.
        training: Cases that train.
        validation: Cases that validate, which may be none.
        seed: Seed of the training patches.
        workers: Processes that prepare training patches.
        accumulate: Batches a step; an epoch is whole steps.
        by_epochs: Whether epochs count: each then shows every case once, and patches are awaited at
            its start, as none is prepared beyond its end. Else an epoch has `LONG_EPOCH` steps or a
            few more.
        looked_at: Validation cases that are looked at in each validation, and as many training
            cases beside them.
    """

    def __init__(
        self,
        plan: Plan,
        training: Sequence[PreparedCase],
        validation: Sequence[PreparedCase],
        *,
        seed: int,
        workers: int,
        accumulate: int,
        by_epochs: bool,
        looked_at: int,
    ) -> None:
        per_step = plan.batch_size * accumulate * num_processes()
        steps = -(-len(training) // per_step)
        if not by_epochs:
            steps *= -(-LONG_EPOCH // steps)
        self.sampler = ConsecutiveSampler(steps * per_step, process_rank(), num_processes())
        self.patches = TrainingPatches(training, plan, seed)
        self.training = TimedLoader(
            _Reported(self.patches),
            batch_size=plan.batch_size,
            sampler=self.sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_start_worker,
            prefetch_factor=4 if workers else None,
            collate_fn=_collate,
        )
        self.looked_at, beside = (
            ValidationPatches(_to_look_at(cases, looked_at), plan)
            for cases in (validation, training)
        )
        self.validation = [
            DataLoader(patches, batch_size=1) for patches in (self.looked_at, beside)
        ]


class _Reported(Dataset[Any]):
    """A data set that answers the error of a bad case instead of raising it.

    What a worker raises reaches the fit as a text of tracebacks; what it answers stays an error.
    """

    def __init__(self, patches: Dataset[Patch]) -> None:
        self._patches = patches

    def __getitem__(self, index: int) -> Patch | VolunetError:
        try:
            return self._patches[index]
        except VolunetError as error:
            return error


def _collate(items: list[Any]) -> Any:
    for item in items:
        if isinstance(item, VolunetError):
            return item
    return default_collate(items)


def _to_look_at(cases: Sequence[PreparedCase], count: int) -> list[PreparedCase]:
    """Some of the cases that show something, if any does: of background alone there is no score.

    Evenly through the cases, as their names often follow place and time.
    """
    shown = [case for case in cases if len(case.places())] or cases
    count = min(count, len(shown))
    return [shown[index * len(shown) // count] for index in range(count)]


def _start_worker(_worker: int) -> None:
    # Ctrl-C reaches the whole process group; the main process ends the fit and needs its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # With as many workers as cores the steps come first: patches are prepared in what is left.
    if hasattr(os, "nice"):
        os.nice(5)
