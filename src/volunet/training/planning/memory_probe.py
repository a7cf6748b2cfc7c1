"""A process that makes training steps of growing batches and tells the memory that each took.

`memory_limit` starts it: ``python -m volunet.training.planning.memory_probe``, the request as JSON
on standard input. It answers a line of JSON for each batch that it got through: its patches
and the most bytes that the process had in memory with it; for 0 patches, before the first step. If
memory ends, this process ends and not the one that trains.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from volunet.plan import Plan
from volunet.requests import Precision
from volunet.tasks.objective import objective_of
from volunet.training.device import is_out_of_memory
from volunet.training.fitting.network import training_network

OUT_OF_MEMORY: Final = 3
"""Exit status where an allocation was refused."""

_STATUS: Final = Path("/proc/self/status")
_RESET: Final = Path("/proc/self/clear_refs")
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")


@dataclass(frozen=True)
class Request:
    """What the process is to do.

    Attributes:
        plan: The plan as JSON.
        loss: Name of the loss.
        precision: Of activations.
        batches: Patches of each batch, growing.
        threads: Threads of PyTorch, as some of the memory is each thread's own.
        most_bytes: Bytes that the process may take beyond what it has at its start; None: any.
    """

    plan: str
    loss: str
    precision: Precision
    batches: Sequence[int]
    threads: int
    most_bytes: int | None


def main() -> int:
    """Answer the request on standard input; the exit status."""
    request = Request(**json.load(sys.stdin))
    torch.set_num_threads(request.threads)
    _go_first(request.most_bytes)
    answers = measure_peaks(
        Plan.model_validate_json(request.plan),
        request.loss,
        request.precision,
        request.batches,
        torch.device("cpu"),
        peak_bytes,
        reset_peak,
    )
    try:
        for batch, peak in answers:
            sys.stdout.write(json.dumps([batch, peak]) + "\n")
            sys.stdout.flush()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return OUT_OF_MEMORY
    return 0


def measure_peaks(
    plan: Plan,
    loss_name: str,
    precision: Precision,
    batches: Sequence[int],
    device: torch.device,
    peak: Callable[[], int],
    reset: Callable[[], None],
) -> Iterator[tuple[int, int]]:
    """Make a step of each batch; of each its patches and the most bytes that were taken.

    The first batch's step is made once before it counts. It loads what the libraries load when they
    are first used, which may take more than the step, and leaves the optimizer's numbers behind,
    AdamW's two a weight.

    Args:
        plan: Says network, patch and classes.
        loss_name: Name of the loss.
        precision: Of activations.
        batches: Patches of each batch, growing.
        device: Where the steps are made.
        peak: The most bytes since the last reset.
        reset: Has `peak` begin anew.

    Yields:
        (0, bytes before the network is made), then (patches, bytes) of each batch.
    """
    yield 0, peak()
    network = training_network(plan).to(device).train()
    objective = objective_of(plan)
    loss = objective.make_loss(loss_name)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)

    def step(batch: int) -> None:
        image = torch.randn(batch, len(plan.channels), *plan.patch_size, device=device)
        image = image.contiguous(memory_format=torch.channels_last_3d)
        label = objective.random_target(batch, plan.patch_size, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            value = loss(network(image), label)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    step(batches[0])
    for batch in batches:
        reset()
        step(batch)
        yield batch, peak()


def peak_bytes() -> int:
    """The most bytes that this process has had in memory.

    Linux keeps two such figures. ``ru_maxrss`` begins with what the parent had when it started the
    process, which may be more than the process ever takes; ``VmHWM`` is the process's own.
    """
    if _STATUS.is_file():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak() -> None:
    """Have `peak_bytes` begin anew, where the system can; elsewhere it is the most so far."""
    with suppress(OSError):
        _RESET.write_text("5", encoding="ascii")


def _go_first(most_bytes: int | None) -> None:
    """Have an allocation refused before the machine's memory is full; and be the one that is ended.

    The limit is on data, not on addresses, of which PyTorch reserves far more than it uses.
    """
    with suppress(OSError):  # not Linux, or not allowed
        _OOM_SCORE.write_text("1000", encoding="ascii")
    if most_bytes is not None and sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = most_bytes + _data_bytes()
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _data_bytes() -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    sys.exit(main())
