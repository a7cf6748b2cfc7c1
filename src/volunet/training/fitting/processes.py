"""Several processes that train one network: who is first, and what all must decide alike.

`torchrun` starts them. Each decision that one alone would make by its own clock, such as to stop,
is taken together: a process that steps while another has stopped waits for ever.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import torch
from torch import distributed

from volunet.errors import TrainingError

LAST_WORDS_S: Final = 30.0
"""Seconds that the others give the process that fails to say why. `torchrun` ends them all as soon
as one has ended: mostly they are ended before."""


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
    """Join the processes that train together, so that they can wait for each other and agree.

    Raises:
        TrainingError: Another of them has ended, so that this one waits for it in vain.
    """
    if num_processes() == 1:
        yield
        return
    # As long as a data set may take to prepare; the default of half an hour is not.
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(days=1)
    )
    try:
        yield
    except RuntimeError as error:
        # Gloo raises plain ones.
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        hear_last_words()
        raise TrainingError(
            "a process that trains along",
            f"it has ended ({str(error).splitlines()[0]})",
            "Each step is made by all of the processes.",
            "Mend what it says, and go on with --resume.",
        ) from error
    finally:
        distributed.destroy_process_group()


def first_alone(work: Callable[[], None]) -> None:
    """Have the first process do something while the others wait for it.

    Args:
        work: What it does. What it raises, the first raises.

    Raises:
        TrainingError: In the others, if the first failed.
    """
    done = False
    try:
        if process_rank() == 0:
            work()
            done = True
    finally:
        done = agree_any(done)
    if not done:
        hear_last_words()
        raise TrainingError(
            "the first of the processes",
            "it ended with an error",
            "It prepares the training for all of them.",
            "Mend what it says.",
        )


def hear_last_words() -> None:
    """Wait until the process that knows what is wrong has said so."""
    time.sleep(LAST_WORDS_S)


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
