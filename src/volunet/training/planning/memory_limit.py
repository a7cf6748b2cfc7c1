"""The largest batch that memory holds, found without filling it.

A step takes a fixed part (gradients, the optimizer's numbers, the libraries' own) and, for each
patch, the activations of the whole network. Two batches tell both parts; the rest is a straight
line. A batch of 1 is not on it, as libraries have other ways for it.

On the CPU a process of its own makes the steps (`memory_probe`), as one that runs out of memory is
ended by the system without a word. On CUDA it is an error that can be caught.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import torch

from volunet.plan import Plan
from volunet.training.config import TrainingConfig
from volunet.training.device import is_out_of_memory
from volunet.training.planning.free_memory import free_bytes
from volunet.training.planning.memory_probe import OUT_OF_MEMORY, Request, measure_peaks

RESERVE_SHARE: Final = 0.2
"""Share of the free memory that is left alone: for the workers that prepare patches, validation on
whole batches, the averaged weights, the holes that a long run leaves in its heap, and for what else
runs on the machine."""

_MAP_BYTES: Final = 65536
"""Where the C library is glibc, blocks of this size are handed back as soon as they are free, so
that what is in memory is what is in use; else it depends on the blocks before."""


@dataclass(frozen=True)
class Peaks:
    """What the steps of some batches took.

    Attributes:
        peaks: Patches of a batch → the most bytes in its step; of 0 patches, before the first.
        ran_out: Whether memory ended at the next batch.
        failure: Why there is no more to know, if it was not memory.
    """

    peaks: Mapping[int, int] = field(default_factory=dict)
    ran_out: bool = False
    failure: str | None = None


@dataclass(frozen=True)
class MemoryLimit:
    """The largest batch that memory holds.

    Attributes:
        largest_batch: Patches; 0: not even the smallest batch fits; None: it is not known.
        bytes_per_patch: Bytes that each patch of a batch takes; None where not known.
        fixed_bytes: Bytes that a step takes whatever its batch; None where not known.
        free_bytes: Bytes that were free; None where the system does not say.
        reason: The same in words.
    """

    largest_batch: int | None
    bytes_per_patch: int | None
    fixed_bytes: int | None
    free_bytes: int | None
    reason: str


def find_memory_limit(
    plan: Plan,
    config: TrainingConfig,
    *,
    least: int = 1,
    device: torch.device | None = None,
    seconds: float = 60.0,
) -> MemoryLimit:
    """Find the largest batch whose training step fits into the memory that is free now.

    Args:
        plan: Says network, patch and classes.
        config: Says loss and precision.
        least: The smallest batch that the network trains on, 1 or 2; steps of it, of 2 and of 4
            patches are made.
        device: Where training will run; None: the CPU.
        seconds: Time after which measuring ends; what is known by then counts.
    """
    device = device or torch.device("cpu")
    free = free_bytes(device)
    batches = [batch for batch in (1, 2, 4) if batch >= least]
    if device.type == "cpu":
        measured = _measure_apart(plan, config, batches, free, seconds)
    elif device.type == "cuda":
        measured = _measure_on_cuda(plan, config, batches, device)
    else:
        measured = Peaks(failure=f"the memory of a step is not measured on {device.type}")
    return limit_from_peaks(measured, free)


def limit_from_peaks(measured: Peaks, free: int | None) -> MemoryLimit:
    """The limit by the straight line through what the two largest batches took.

    Args:
        measured: What was measured, each batch larger than the one before.
        free: Bytes that were free before the first step; None: not known.

    Example:
        >>> gigabyte = 10**9
        >>> peaks = Peaks({0: gigabyte, 2: 4 * gigabyte, 4: 6 * gigabyte})  # 1 GB, and 1 a patch
        >>> limit_from_peaks(peaks, 10 * gigabyte).largest_batch
        7
    """
    sizes = [batch for batch in measured.peaks if batch]
    if measured.ran_out:
        largest = max(sizes, default=0)
        found = f"a batch of {largest} fits" if largest else "not even the smallest batch fits"
        also = ", a larger one does not" if largest else ""
        return MemoryLimit(largest, None, None, free, f"{found} into {_text(free)}{also}")
    if len(sizes) < 2:
        reason = measured.failure or "the memory of a step was not measured"
        return MemoryLimit(None, None, None, free, reason)
    small, large = sizes[-2:]
    # Of networks so small that the peak stays a patch takes next to nothing.
    each = max(1, -(-(measured.peaks[large] - measured.peaks[small]) // (large - small)))
    fixed = max(0, measured.peaks[large] - measured.peaks.get(0, 0) - large * each)
    takes = f"a step takes {_text(fixed)} and {_text(each)} a patch"
    if free is None:
        return MemoryLimit(None, each, fixed, None, f"{takes}; what is free is not known")
    largest = max(0, (int((1 - RESERVE_SHARE) * free) - fixed) // each)
    reason = f"{takes}; {_text(free)} are free, of which {RESERVE_SHARE:.0%} stay so"
    return MemoryLimit(largest, each, fixed, free, reason)


def _measure_apart(
    plan: Plan,
    config: TrainingConfig,
    batches: Sequence[int],
    free: int | None,
    seconds: float,
) -> Peaks:
    """Peaks on the CPU, in a process that may be ended."""
    request = Request(
        plan=plan.model_dump_json(),
        loss=plan.task.loss(config.loss),
        precision=config.precision,
        batches=batches,
        threads=torch.get_num_threads(),
        most_bytes=free,
    )
    own = str(Path(__file__).parents[2])
    folders = [own, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "volunet.training.planning.memory_probe"],
            input=json.dumps(asdict(request)).encode(),
            capture_output=True,
            check=False,
            timeout=seconds,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(folders),
                "MALLOC_MMAP_THRESHOLD_": str(_MAP_BYTES),
            },
        )
    except subprocess.TimeoutExpired as error:
        failure = f"the memory of a step was not measured within {seconds:.2g} s"
        return Peaks(_read(error.stdout or b""), failure=failure)
    peaks = _read(done.stdout)
    if done.returncode == 0:
        return Peaks(peaks)
    # A process that the system ends for memory says nothing; C++ says what it could not allocate.
    killed = done.returncode == -signal.SIGKILL
    printed = done.stderr.decode(errors="replace").strip()
    aborted = done.returncode < 0 and is_out_of_memory(RuntimeError(printed))
    if done.returncode == OUT_OF_MEMORY or killed or aborted:
        return Peaks(peaks, ran_out=True)
    said = (printed.splitlines() or [f"status {done.returncode}"])[-1]
    return Peaks(peaks, failure=f"the memory of a step was not measured ({said})")


def _measure_on_cuda(
    plan: Plan, config: TrainingConfig, batches: Sequence[int], device: torch.device
) -> Peaks:
    """Peaks of PyTorch's allocator, in this process."""
    peaks: dict[int, int] = {}
    try:
        torch.cuda.reset_peak_memory_stats(device)
        with torch.random.fork_rng(devices=[device]):
            for batch, peak in measure_peaks(
                plan,
                plan.task.loss(config.loss),
                config.precision,
                batches,
                device,
                lambda: torch.cuda.max_memory_allocated(device),
                lambda: torch.cuda.reset_peak_memory_stats(device),
            ):
                peaks[batch] = peak
    except torch.OutOfMemoryError:
        return Peaks(peaks, ran_out=True)
    finally:
        torch.cuda.empty_cache()
    return Peaks(peaks)


def _read(answers: bytes) -> dict[int, int]:
    """Patches → bytes, of the lines that are whole."""
    lines = answers.decode(errors="replace").splitlines()
    return dict(json.loads(line) for line in lines if re.fullmatch(r"\[\d+, \d+\]", line))


def _text(num_bytes: int | None) -> str:
    if num_bytes is None:
        return "the memory"
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"
