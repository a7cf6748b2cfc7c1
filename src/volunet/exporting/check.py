"""Checking a model file: every engine, at sizes that its export did not see, against one reference.

The reference is PyTorch where it is installed and the file holds a network that it can rebuild;
otherwise it is ONNX Runtime, and the report says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from volunet.errors import ConfigError, EngineError
from volunet.graph.reading.onnx_file import find_plan, read_onnx
from volunet.inference.engines import Engine, installed_engines, open_engine
from volunet.plan import Normalisation, Plan, Size3

TOLERANCE: Final = 1e-4
"""Largest absolute difference on logits that is still float32 rounding; of class indices, the
largest share of voxels that may differ."""

FIXED_SIZES: Final[tuple[Size3, ...]] = (
    (1, 1, 1),
    (1, 29, 53),
    (31, 1, 47),
    (43, 37, 1),
    (2, 3, 5),
    (7, 11, 13),
    (16, 16, 16),
    (17, 19, 23),
    (33, 17, 65),
    (41, 59, 31),
    (79, 61, 37),
    (64, 96, 80),
)
"""One-voxel axes, tiny, primes, one past a power of two, a multiple of every stride, large."""


@dataclass(frozen=True)
class CheckRow:
    """One engine at one size.

    Attributes:
        size: Input size in voxels, (D, H, W).
        engine: The engine.
        max_abs_difference: Against the reference; of class indices, the share of voxels that
            differ. None where the engine failed, the shape is another, or a voxel is no number.
        fault: What went wrong, empty where nothing did.
    """

    size: Size3
    engine: str
    max_abs_difference: float | None
    fault: str = ""

    @property
    def passed(self) -> bool:
        """Whether the engine answered, within the tolerance."""
        return not self.fault


@dataclass(frozen=True)
class CheckReport:
    """The verdict on a model file.

    Attributes:
        model: The file.
        reference: The engine that the others are compared with.
        tolerance: Largest absolute difference that passes.
        rows: Every engine at every size.
    """

    model: str
    reference: str
    tolerance: float
    rows: tuple[CheckRow, ...]

    @property
    def passed(self) -> bool:
        """Whether every engine passed at every size."""
        return all(row.passed for row in self.rows)

    @property
    def faults(self) -> tuple[CheckRow, ...]:
        """The rows that did not pass."""
        return tuple(row for row in self.rows if not row.passed)

    @property
    def largest_difference(self) -> float:
        """Largest difference of all rows that have one, NaN where none has."""
        found = [r.max_abs_difference for r in self.rows if r.max_abs_difference is not None]
        return max(found, default=math.nan)

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {**asdict(self), "passed": self.passed}


def check_sizes(num_sizes: int, seen: Sequence[Size3] = (), seed: int = 0) -> list[Size3]:
    """Sizes to check at: `FIXED_SIZES`, then random ones from 1 to 79 on each axis.

    Args:
        num_sizes: How many, at least 1.
        seen: Sizes to leave out, because the export saw them.
        seed: Seed of the random ones.

    Raises:
        ConfigError: Fewer than one size is asked for.
    """
    if num_sizes < 1:
        raise ConfigError(
            f"--sizes {num_sizes}", "no size to check", "At least 1.", "20 is a good check."
        )
    rng = np.random.default_rng(seed)
    sizes = [size for size in FIXED_SIZES if size not in seen][:num_sizes]
    while len(sizes) < num_sizes:
        depth, height, width = (int(d) for d in rng.integers(1, 80, 3))
        if (depth, height, width) not in (*seen, *sizes):
            sizes.append((depth, height, width))
    return sizes


def check(
    model: str | Path,
    *,
    sizes: int = 20,
    tolerance: float = TOLERANCE,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Check a model file on every installed engine.

    Args:
        model: An ONNX file.
        sizes: How many sizes to check at.
        tolerance: Largest absolute difference that passes.
        progress: Called with the sizes done and their number.

    Returns:
        The report; whether it passed is `CheckReport.passed`.

    Raises:
        ConfigError: The file is no ONNX, or fewer than two engines take it: nothing to compare.
    """
    path = Path(model)
    graph = read_onnx(path)
    plan = find_plan(graph, path)
    engines = installed_engines()
    if plan is None or plan.network is None:
        engines = [name for name in engines if name != "torch"]
    if len(engines) < 2:
        raise ConfigError(
            path,
            f"{len(engines)} engine to check it on ({', '.join(engines) or 'none'})",
            "A check compares at least two engines.",
            "pip install onnxruntime openvino",
        )
    first = "torch" if "torch" in engines else "onnxruntime"
    channels = len(plan.channels) if plan else _channels_of(graph.graph.inputs[0].shape, path)
    return compare_engines(
        path,
        reference=open_engine(path, first),
        others=[name for name in engines if name != first],
        sizes=check_sizes(sizes),
        plan=plan,
        channels=channels,
        tolerance=tolerance,
        progress=progress,
    )


def compare_engines(
    model: Path,
    *,
    reference: Engine,
    others: Sequence[str],
    sizes: Sequence[Size3],
    plan: Plan | None,
    channels: int,
    tolerance: float = TOLERANCE,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Run a model file on engines and compare each with a reference.

    Args:
        model: The ONNX file.
        reference: An engine that is already open, for instance on the trained network itself.
        others: Names of the engines to compare with it.
        sizes: Input sizes in voxels, (D, H, W).
        plan: Says what intensities the model expects and what it answers.
        channels: Input channels.
        tolerance: Largest absolute difference that passes.
        progress: Called with the sizes done and their number.
    """
    rows: list[CheckRow] = []
    opened: dict[str, Engine | EngineError] = {name: _try_open(model, name) for name in others}
    rng = np.random.default_rng(0)
    labels = plan is not None and plan.task.head == "argmax"
    for done, size in enumerate(sizes):
        x = _intensities(rng, (channels, *size), plan.normalisation if plan else ())[np.newaxis]
        try:
            want = reference.run(x)
        except EngineError as error:
            rows.append(CheckRow(size, reference.name, None, error.found))
        else:
            for name, engine in opened.items():
                rows.append(_compare(size, name, engine, x, want, tolerance, labels=labels))
        if progress:
            progress(done + 1, len(sizes))
    return CheckReport(str(model), reference.name, tolerance, tuple(rows))


def _try_open(model: Path, name: str) -> Engine | EngineError:
    try:
        return open_engine(model, name)
    except EngineError as error:
        return error


def _compare(
    size: Size3,
    name: str,
    engine: Engine | EngineError,
    x: NDArray[np.float32],
    want: NDArray[Any],
    tolerance: float,
    *,
    labels: bool,
) -> CheckRow:
    if isinstance(engine, EngineError):
        return CheckRow(size, name, None, engine.found)
    try:
        got = engine.run(x)
    except EngineError as error:
        return CheckRow(size, name, None, error.found)
    if got.shape != want.shape:
        return CheckRow(size, name, None, f"answers {got.shape}, the reference {want.shape}")
    if not (np.isfinite(got).all() and np.isfinite(want).all()):
        return CheckRow(size, name, None, "NaN or infinite values, here or in the reference")
    if labels:
        # Class indices may fall either way at a tie, so their measure is the share that differs.
        difference = float(np.mean(got != want))
    else:
        difference = float(np.abs(got.astype(np.float64) - want).max())
    fault = "" if difference <= tolerance else f"differs by {difference:.2g}"
    return CheckRow(size, name, difference, fault)


def _intensities(
    rng: np.random.Generator, shape: tuple[int, ...], rules: Sequence[Normalisation]
) -> NDArray[np.float32]:
    """Random intensities in the range that each channel's normalisation expects."""
    x = rng.normal(size=shape).astype(np.float32)
    for channel, rule in enumerate(rules):
        x[channel] = rule.mean + rule.std * x[channel]
    return x


def _channels_of(shape: Any, path: Path) -> int:
    if shape is None or len(shape) != 5 or not isinstance(shape[1], int):
        raise ConfigError(
            path,
            f"an input of shape {shape}",
            "A model for volumes has an input (1, C, D, H, W) with C fixed.",
            "Export the network again with a 5D input.",
        )
    return int(shape[1])
