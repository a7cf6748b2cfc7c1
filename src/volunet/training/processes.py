"""Several processes that train one network: who is first, and what all must decide alike.

`torchrun` starts them. Each decision that one alone would make by its own clock, such as to stop,
is taken together: a process that steps while another has stopped waits for ever.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed


def num_processes() -> int:
    """How many processes train, as `torchrun` says; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_processes() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def process_rank() -> int:
    """This process's number, from 0."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def joined_processes() -> Iterator[None]:
    """Join the processes that train together, so that they can wait for each other and agree."""
    if num_processes() == 1:
        yield
        return
    # As long as a data set may take to prepare; the default of half an hour is not.
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(days=1)
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def wait_for_all() -> None:
    """Return when every process has come here."""
    if _together():
        distributed.barrier()


def agree_any(value: bool) -> bool:
    """Whether it is true in any of the processes."""
    if not _together():
        return value
    flag = torch.tensor(int(value))
    distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
    return bool(flag)


def agree_first(value: float) -> float:
    """The first process's value, in each of them."""
    if not _together():
        return value
    number = torch.tensor(value, dtype=torch.float64)
    distributed.broadcast(number, src=0)
    return float(number)


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
