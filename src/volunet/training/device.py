"""The device that a network trains on, and what it says when its memory is full."""

from __future__ import annotations

from typing import Final

import torch

_WORDS: Final = ("allocate memory", "out of memory", "bad_alloc", "bad allocation")


def training_device() -> torch.device:
    """Where a fit runs: CUDA where there is one, else the CPU.

    Apple's MPS is left out: what a step takes there, and whether its 3D convolutions are right in
    bfloat16, nobody has measured.
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation was refused; PyTorch has no class for it on CPUs."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error).lower() for words in _WORDS)
