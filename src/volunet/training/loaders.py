"""The data loaders of a fit: training patches, and a bounded number of validation patches."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

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
from volunet.training.processes import num_processes, process_rank


class TimedLoader(DataLoader[Any]):
    """A loader that measures how long it is waited for, and raises what its workers met as it was.

    Attributes:
        waited_s: Seconds that were spent waiting for a batch, but for the first of each round,
            for which workers may have to be started.

    Raises:
        VolunetError: What a worker met, with the file.
        TrainingError: A worker was killed.
    """

    waited_s = 0.0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        batches = super().__iter__()
        first = True
        while True:
            begin = time.monotonic()
            try:
                with worker_errors():
                    batch = next(batches)
            except StopIteration:
                return
            if isinstance(batch, VolunetError):
                raise batch
            if not first:
                self.waited_s += time.monotonic() - begin
            first = False
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
            "Free memory, or go on with --resume --workers 0.",
        ) from error


class Loaders:
    """The loaders of a run.

    Args:
        plan: Says the patches.
        training: Cases that train.
        validation: Cases that validate, which may be none.
        seed: Seed of the training patches.
        workers: Processes that prepare training patches.
        accumulate: Batches a step; an epoch is whole steps.
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
        looked_at: int,
    ) -> None:
        per_step = plan.batch_size * accumulate * num_processes()
        steps = -(-len(training) // per_step)
        self.sampler = ConsecutiveSampler(steps * per_step, process_rank(), num_processes())
        self.training = TimedLoader(
            _Reported(TrainingPatches(training, plan, seed)),
            batch_size=plan.batch_size,
            sampler=self.sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_start_worker,
            prefetch_factor=4 if workers else None,
            collate_fn=_collate,
        )
        # Evenly through the cases, as their names often follow place and time.
        self.validation = [
            DataLoader(ValidationPatches(_evenly(cases, looked_at), plan), batch_size=1)
            for cases in (validation, training)
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


def _evenly(cases: Sequence[PreparedCase], count: int) -> list[PreparedCase]:
    count = min(count, len(cases))
    return [cases[index * len(cases) // count] for index in range(count)]


def _start_worker(_worker: int) -> None:
    # Ctrl-C reaches the whole process group; the main process ends the fit and needs its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # With as many workers as cores the steps come first: patches are prepared in what is left.
    if hasattr(os, "nice"):
        os.nice(5)
