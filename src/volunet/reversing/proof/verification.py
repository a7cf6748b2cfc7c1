"""Proof that written source computes what its ONNX file does: both are run, and compared.

The file may come from anywhere, and so may names and numbers in the source that was written from
it. So it runs in a process of its own (`volunet.reversing.proof.verifier`): with a clean
environment, a limit of time and of memory, and in a folder that is deleted afterwards. What that
process answers is read as numbers and text, and the verdict is computed from them here.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

TOLERANCE: Final = 1e-5
"""Largest difference, relative to the largest number of an output, that is float32 rounding."""

BASE_BYTES: Final = 12 * 2**30
"""Address space for a process without weights.

Imports map 0.9 GiB of it (PyTorch for the CPU, on Linux; a build with CUDA maps several more), and
`volunet.reversing.proof.verified_sizes` allows tensors of 2 GiB a pass; the rest is for scratch and
for threads' stacks and heaps. It limits what is mapped: a small network uses 0.3 GiB."""

COPIES: Final = 8
"""How often weights may be in memory: file and module of PyTorch; file, tensors and packed kernels
of ONNX Runtime; and once more, as protobuf and bytes, where the first layer is looked for."""

_OUT_OF_MEMORY: Final = (
    "MemoryError",
    "bad_alloc",
    "bad allocation",
    "allocate memory",
    "not enough memory",
    "failed to map segment",
    "start new thread",
    "Thread creation failed",
    "pthread_create failed",
)
"""How Python, C++, PyTorch, ONNX Runtime, the loader and thread pools say it."""


@dataclass(frozen=True)
class Request:
    """What the verifying process is asked for; see `verify`."""

    source: str
    weights: str
    model: str
    shapes: tuple[dict[str, tuple[int, ...]], ...]
    layers: dict[str, str]
    train_mode: bool
    mean: float
    std: float
    tolerance: float
    limit_seconds: float
    limit_bytes: int
    threads: int


@dataclass(frozen=True)
class Comparison:
    """Source and ONNX Runtime at one size, on the same random numbers.

    Attributes:
        shapes: Input name → shape.
        difference: Largest absolute difference, of the output where it is relatively largest;
            infinite where shapes or types differ, or one has a number where the other has none.
        scale: Largest absolute number that ONNX Runtime answers in that output.
        note: What differs besides numbers, empty where nothing does.
        precision: What the source was run in: float64 where two float32 passes round too much.
        ties: Whole numbers, such as class indices, that differ although every layer before agrees:
            two classes had the same score but for rounding. They are not in `difference`.
    """

    shapes: dict[str, tuple[int, ...]]
    difference: float
    scale: float
    note: str = ""
    ties: int = 0
    precision: str = "float32"

    @property
    def relative(self) -> float:
        """The difference in terms of the scale; as it is where the scale is 0."""
        return self.difference / self.scale if self.scale > 0 else self.difference


@dataclass
class Answer:
    """What the verifying process answers.

    Attributes:
        comparisons: One for each shape, as far as it came.
        layer: First module whose output differs; None where none is known to.
        differs: The same as a sentence, or why no module is named; None where nothing differs.
        failure: Why it did not come further.
    """

    comparisons: list[Comparison] = field(default_factory=list)
    layer: str | None = None
    differs: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Verification:
    """The verdict.

    Attributes:
        comparisons: One for each shape; fewer where it failed.
        tolerance: Largest relative difference that passes.
        layer: Path of the first module whose output differs; None where none is known to.
        differs: The same as a sentence with numbers, or why no module is named; None where nothing
            differs.
        failure: Why it did not run, one sentence or two; None where it did.
    """

    comparisons: tuple[Comparison, ...]
    tolerance: float
    layer: str | None = None
    differs: str | None = None
    failure: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it ran at every shape, and within the tolerance."""
        within = [comparison.relative <= self.tolerance for comparison in self.comparisons]
        return self.failure is None and self.differs is None and bool(within) and all(within)

    @property
    def largest(self) -> float:
        """The largest relative difference; NaN where nothing was compared."""
        found = [comparison.relative for comparison in self.comparisons]
        return math.nan if any(map(math.isnan, found)) else max(found, default=math.nan)


def can_verify() -> bool:
    """Whether PyTorch is installed, without which no source can be run."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "safetensors"))


def verify(
    source: Path,
    weights: Path,
    model: Path,
    shapes: Sequence[Mapping[str, tuple[int, ...]]],
    *,
    layers: Mapping[str, str],
    train_mode: bool = False,
    mean: float = 0.0,
    std: float = 1.0,
    tolerance: float = TOLERANCE,
    limit_seconds: float = 600,
    limit_bytes: int | None = None,
    threads: int = 2,
) -> Verification:
    """Run written source and the file that it was written from, and compare their answers.

    Args:
        source: The Python file, with a function ``load(path)`` that answers the network.
        weights: Its weights, which `load` reads strictly.
        model: The ONNX file.
        shapes: Input name → shape, at each of which both are run on seeded random numbers.
        layers: Module path in the network → name of the tensor in the file (as `read_onnx` reads
            it) that it makes, to tell the first that differs.
        train_mode: Put the network into train mode first: the file's batch norms compute the
            batch's own statistics.
        mean: Mean of the random numbers, where the network expects intensities as a plan tells.
        std: Their standard deviation.
        tolerance: Largest relative difference that passes.
        limit_seconds: When the process is ended.
        limit_bytes: Address space that it may take; None: `BASE_BYTES` and `COPIES` times the
            weights. Only Linux enforces it.
        threads: Threads for each engine.
    """
    if limit_bytes is None:
        limit_bytes = BASE_BYTES + COPIES * weights.stat().st_size
    request = Request(
        source=str(source.absolute()),
        weights=str(weights.absolute()),
        model=str(model.absolute()),
        shapes=tuple(map(dict, shapes)),
        layers=dict(layers),
        train_mode=train_mode,
        mean=mean,
        std=std,
        tolerance=tolerance,
        limit_seconds=limit_seconds,
        limit_bytes=limit_bytes,
        threads=threads,
    )
    answer = _run(request)
    if answer.failure is None and len(answer.comparisons) != len(shapes):
        answer.failure = f"it answered for {len(answer.comparisons)} of {len(shapes)} sizes"
    return Verification(
        tuple(replace(one, note=_printable(one.note) or "") for one in answer.comparisons),
        tolerance,
        answer.layer,
        _printable(answer.differs),
        _printable(answer.failure),
    )


def _run(request: Request) -> Answer:
    """Ask the process; what it prints goes to a file, of which the end is read where it fails."""
    with tempfile.TemporaryDirectory(prefix="volunet-verify-") as folder:
        work = Path(folder, "work")
        work.mkdir()
        answered, printed = Path(folder, "answer.json"), Path(folder, "printed.txt")
        with answered.open("wb") as out, printed.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-B", "-P", "-m", "volunet.reversing.proof.verifier"],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=log,
                cwd=work,
                env=_environment(request.threads),
                start_new_session=True,
            )
            ended = _wait(process, json.dumps(vars(request)).encode(), request.limit_seconds)
        if not ended:
            return Answer(failure=_too_long(request.limit_seconds))
        text, tail = answered.read_bytes(), _tail(printed)
    try:
        answer = TypeAdapter(Answer).validate_json(text)
    except ValidationError:
        answer = Answer(failure=_sudden_end(process.returncode, tail))
    if answer.failure is not None and any(words in answer.failure for words in _OUT_OF_MEMORY):
        answer.failure = _too_large(request.limit_bytes, answer.failure)
    return answer


def _environment(threads: int) -> dict[str, str]:
    """Where programs and this package are found, and nothing else of the caller's environment."""
    own = Path(__file__).parents[2]
    given = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join([str(own), *map(os.path.abspath, given)]),
        "OMP_NUM_THREADS": str(threads),
    }


def _wait(process: subprocess.Popen[bytes], request: bytes, limit_seconds: float) -> bool:
    """Wait for a process; whether it ended by itself. However this is left, it has ended."""
    try:
        process.communicate(request, timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return True


def _tail(printed: Path, num_bytes: int = 4000) -> str:
    """The end of what a process printed."""
    with printed.open("rb") as file:
        file.seek(max(0, printed.stat().st_size - num_bytes))
        return file.read().decode(errors="replace").strip()


def _printable(text: str | None, most: int = 2000) -> str | None:
    """A text that nothing in a file can make more of than text, when it is printed."""
    return None if text is None else "".join(c if c.isprintable() else "?" for c in text[:most])


def _sudden_end(status: int, tail: str) -> str:
    last = f": {tail.splitlines()[-1][:300]}" if tail else ""
    words = next((words for words in _OUT_OF_MEMORY if words in tail), "")
    if words not in last:
        last += f" ({words})"
    if status >= 0:
        return f"the process ended with status {status} and without an answer{last}"
    name = signal.Signals(-status).name
    if -status == signal.SIGKILL:
        name += ", which the system sends where its memory is full"
    return f"the process was ended by {name}{last}"


def _too_long(limit_seconds: float) -> str:
    return (
        f"it did not end within {limit_seconds:g} s, and was ended. Give it a longer limit, or "
        "look for a loop in the source"
    )


def _too_large(limit_bytes: int, found: str) -> str:
    return (
        f"it needs more memory than its limit of {limit_bytes / 2**30:.1f} GiB of address space "
        f"({found}). Give it a higher limit, or verify at smaller sizes"
    )
