"""One scan through a streamed pass: from its file to the answer's, slab by slab."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from volunet.inference.model import Model
from volunet.inference.predict import check_channels, margins, surrounded
from volunet.inference.streaming.engines import open_part
from volunet.inference.streaming.execution import Execution
from volunet.inference.streaming.planning import StreamPlan, plan_stream
from volunet.inference.streaming.process import resident_bytes
from volunet.plan import Plan
from volunet.tasks.answer import Answer, answer_of
from volunet.volumes.axes import Shape3
from volunet.volumes.grid import Grid
from volunet.volumes.resample import plan_conform
from volunet.volumes.sampling import planes_of
from volunet.volumes.sinks import StreamedScores
from volunet.volumes.slab_writer import open_slab_writer
from volunet.volumes.slabs import open_slabs
from volunet.volumes.streamed import (
    ConformedSlabs,
    NormalisedSlabs,
    Slabs,
    check_finite_slabs,
    measure,
)
from volunet.volumes.volume import Volume

Stage = Callable[[str, float], None]
"""Told what is being done and the share of it that is."""

_IO_BYTES: Final = 64_000_000
"""What reading, resampling and writing take besides their planes (`volunet.volumes.slabs`)."""

_IO_PLANES: Final = 12
"""Planes of the scan that a slab and the passes over it hold, as float32 and as they come."""


@dataclass(frozen=True)
class StreamedScan:
    """A scan with the plan of its pass.

    Attributes:
        files: One file a channel, or one that holds them all.
        grid: The scan's own grid.
        on_grid: The scan's grid as the model takes it.
        plan: How it is streamed.
    """

    files: tuple[Path, ...]
    grid: Grid
    on_grid: Grid
    plan: StreamPlan


def plan_scan(
    model: Model, files: Sequence[Path], grid: Grid, budget: int | None, disk_bytes: int
) -> StreamedScan:
    """Plan the streamed pass of a scan.

    Args:
        model: The model.
        files: The scan's files.
        grid: Its grid, with all channels.
        budget: Bytes that the process may take; None for the quickest plan.
        disk_bytes: Bytes on disk for what is spilled.

    Raises:
        BudgetError: No plan fits.
        NotStreamedError: The network cannot be streamed.
        ShapeError: The network does not work at the scan's size.
        VolumeError: The scan does not have the model's channels.
    """
    check_channels(grid.num_channels, model.plan, str(files[0]))
    on_grid = plan_conform(grid, model.plan.orientation, model.plan.spacing_mm)
    import_module(f"volunet.inference.engines.{model.engine.name}_engine")  # before it is weighed
    base = resident_bytes() + _io_bytes(grid, on_grid, model.plan)
    graph = model.read_graph()
    plan = plan_stream(
        graph, model.plan.dataset, on_grid.shape, budget, model.engine.name, base, disk_bytes
    )
    return StreamedScan(tuple(files), grid, on_grid, plan)


def predict_streamed(
    model: Model,
    scan: StreamedScan,
    target: Path,
    scratch: Path,
    *,
    probabilities: bool = False,
    stage: Stage | None = None,
) -> None:
    """Segment a scan slab by slab and write the answer on its own grid.

    Args:
        model: The model.
        scan: The scan with its plan.
        target: The file to write, whole or not at all; it must not exist.
        scratch: An empty folder (`volunet.volumes.scratch`).
        probabilities: Write a probability for each class instead of labels.
        stage: Told what is being done.

    Raises:
        VolumeError: The scan is damaged, or has NaN or infinite voxels.
        EngineError: The engine refuses a part of the model.
        OutputError: The disk is full.
    """
    answer = answer_of(model.plan, probabilities=probabilities)
    answer.check(str(scan.files[0]))
    tell = stage or _silent
    with ExitStack() as stack:
        source = _open(model, scan, scratch, tell)
        # Written inside the scratch folder, so that even a killed process leaves no half file that
        # nobody clears away.
        hidden = scratch / target.name
        writer = stack.enter_context(_writer(answer, scan, hidden, scratch))
        run_slabs(model, scan, source, answer, writer, scratch, tell)
        stack.close()
        tell("write", 1.0)
        target.parent.mkdir(parents=True, exist_ok=True)
        hidden.replace(target)


def predict_array(
    model: Model,
    scan: StreamedScan,
    volume: Volume,
    scratch: Path,
    *,
    probabilities: bool = False,
    stage: Stage | None = None,
) -> NDArray[Any]:
    """Segment a scan that is in memory; only the network's own tensors are streamed.

    Args:
        model: The model.
        scan: The scan's plan.
        volume: The scan.
        scratch: An empty folder for what is spilled.
        probabilities: Answer a probability for each class instead of labels.
        stage: Told what is being done.

    Returns:
        (1, D, H, W) labels, or (K, D, H, W) probabilities, on the scan's own grid.
    """
    tell = stage or _silent
    source = prepared(model, scan, ArraySlabs(volume.array, volume.grid), tell)
    answer = answer_of(model.plan, probabilities=probabilities)
    array = np.empty((answer.num_channels, *volume.shape), answer.dtype)
    axis = scan_axis(scan)

    def write(start: int, block: NDArray[Any]) -> None:
        planes_of(array, axis, start, start + block.shape[1 + axis])[...] = block

    run_slabs(model, scan, source, answer, write, scratch, tell)
    return array


def write_slabs(volume: Volume, path: Path, scratch: Path) -> None:
    """Write a volume as OME-Zarr, whole or not at all."""
    with open_slab_writer(path, volume.grid, volume.array.dtype, 0, scratch) as writer:
        writer.write(0, volume.array)


Write = Callable[[int, NDArray[Any]], None]
"""Takes finished planes of the scan's own grid: the first one, and (C, …) of them."""


def run_slabs(
    model: Model,
    scan: StreamedScan,
    source: Slabs,
    answer: Answer,
    write: Write,
    scratch: Path,
    tell: Stage,
) -> None:
    """Run the planned pass on the slabs of a scan.

    Args:
        model: The model.
        scan: The scan with its plan.
        source: The scan as the network sees it, on the model's grid.
        answer: What the network's slices mean.
        write: Takes the answer's planes.
        scratch: An empty folder for what is spilled.
        tell: Told what is being done.
    """
    plan = scan.plan
    compile_part: Callable[[ir.Model], Any] = partial(
        open_part, engine=model.engine.name, threads=model.threads
    )
    execution = Execution(plan.program, plan.axes, compile_part, scratch, partial(tell, "prepare"))
    planes = _Planes(model.plan, scan, answer, write)
    execution.run(source, planes.take, partial(tell, "predict"))
    planes.finish()


def scan_axis(scan: StreamedScan) -> int:
    """The axis of the scan's own array that follows the streamed one."""
    return StreamedScores(scan.on_grid, scan.grid, scan.plan.axis, 1).scan_axis


class _Planes:
    """Turns the network's slices into planes of the scan's own grid."""

    def __init__(self, plan: Plan, scan: StreamedScan, answer: Answer, write: Write) -> None:
        axis = scan.plan.axis
        self._answer = answer
        self._axis = axis
        self._write = write
        self._size = scan.on_grid.shape
        answered = scan.plan.program.fixed.shapes[scan.plan.program.target][2:]
        self._sides = margins(answered, self._size, plan)
        self._sink = answer.sink(scan.on_grid, scan.grid, axis)
        self._begun = False

    def take(self, start: int, slices: NDArray[Any]) -> None:
        """Take slices of the network's answer, (1, K, …)."""
        if not self._begun:
            self._begun = True
            self._nothing(self._sides[self._axis][0])
        across = [(0, 0) if axis == self._axis else s for axis, s in enumerate(self._sides)]
        self._push(surrounded(self._answer.scores(slices[0]), across, self._answer))

    def finish(self) -> None:
        """Write what lies behind the network's answer."""
        self._nothing(self._sides[self._axis][1])

    def _nothing(self, planes: int) -> None:
        size = list(self._size)
        size[self._axis] = 1
        depth, height, width = size
        for _ in range(planes):
            self._push(self._answer.outside((depth, height, width)))

    def _push(self, scores: NDArray[np.float32]) -> None:
        for start, block in self._sink.push(scores):
            self._write(start, block)


class _Channels:
    """Scans of one channel each as one of several."""

    def __init__(self, readers: Sequence[Slabs]) -> None:
        self._readers = readers
        first = readers[0].grid
        self.grid = Grid(first.shape, first.affine, sum(r.grid.num_channels for r in readers))

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """See `Slabs.read`."""
        blocks = [reader.read(axis, start, stop) for reader in self._readers]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


class ArraySlabs:
    """The planes of an array in memory.

    Args:
        array: (C, D, H, W).
        grid: Its grid.
    """

    def __init__(self, array: NDArray[Any], grid: Grid) -> None:
        self._array = array
        self.grid = grid

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """See `Slabs.read`."""
        return planes_of(self._array, axis, start, stop)


def prepared(model: Model, scan: StreamedScan, raw: Slabs, tell: Stage) -> Slabs:
    """A scan as the network sees it: every voxel a number, on the model's grid, normalised."""
    on_grid = ConformedSlabs(raw, model.plan.orientation, model.plan.spacing_mm)
    own = on_grid.source_axis(scan.plan.axis)
    check_finite_slabs(raw, own, str(scan.files[0]), _share(tell, "check"))
    if model.normalises:
        return on_grid
    rules = model.plan.normalisation
    moments = measure(on_grid, scan.plan.axis, rules, _share(tell, "measure"))
    return NormalisedSlabs(on_grid, rules, moments)


def _open(model: Model, scan: StreamedScan, scratch: Path, tell: Stage) -> Slabs:
    axis = scan_axis(scan)
    several = len(scan.files) == 1 and scan.grid.num_channels > 1
    readers = [
        open_slabs(file, scratch, axis, several, _share(tell, "read")) for file in scan.files
    ]
    return prepared(model, scan, _Channels(readers), tell)


@contextmanager
def _writer(answer: Answer, scan: StreamedScan, path: Path, scratch: Path) -> Iterator[Write]:
    grid = Grid(scan.grid.shape, scan.grid.affine, answer.num_channels)
    with open_slab_writer(path, grid, answer.dtype, scan_axis(scan), scratch) as writer:
        yield writer.write


def _io_bytes(grid: Grid, on_grid: Grid, plan: Plan) -> int:
    """Bytes of the planes that are read, resampled and written at a time, at most."""

    def plane(shape: Shape3) -> int:
        return prod(shape) // min(shape)

    voxels = max(plane(grid.shape), plane(on_grid.shape))
    return _IO_BYTES + 4 * voxels * _IO_PLANES * (len(plan.channels) + 1)


def _share(tell: Stage, name: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(name, done / max(total, 1))


def _silent(stage: str, done: float) -> None:
    del stage, done
