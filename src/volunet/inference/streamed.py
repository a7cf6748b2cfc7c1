"""One scan through a streamed pass: from its file to the answer's, slab by slab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from volunet.inference.predict import check_channels, check_scan, margins, surrounded
from volunet.inference.streaming.engines import open_part
from volunet.inference.streaming.execution import Execution
from volunet.inference.streaming.planning import StreamPlan, plan_stream
from volunet.inference.streaming.process import resident_bytes
from volunet.plan import Plan
from volunet.tasks.answer import Answer, Receiver, answer_of
from volunet.volumes.axes import Shape3
from volunet.volumes.grid import Grid
from volunet.volumes.resample import plan_conform
from volunet.volumes.sampling import planes_of
from volunet.volumes.sinks import StreamedScores
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
    source = _open(model, scan, scratch, tell)
    # Written inside the scratch folder, so that even a killed process leaves no half file that
    # nobody clears away.
    hidden = scratch / target.name
    run_slabs(model, scan, source, answer, hidden, scratch, tell)
    tell("write", 1.0)
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden.replace(target)


def predict_streamed_volume(
    model: Model,
    scan: StreamedScan,
    volume: Volume,
    scratch: Path,
    *,
    probabilities: bool = False,
    stage: Stage | None = None,
) -> Any:
    """Predict a scan that is in memory; only the network's own tensors are streamed.

    Args:
        model: The model.
        scan: The scan's plan.
        volume: The scan.
        scratch: An empty folder for what is spilled.
        probabilities: Answer a probability for each class instead of labels.
        stage: Told what is being done.

    Returns:
        The task's result on the scan's own grid.

    Raises:
        VolumeError: The scan is not what the model takes, or the model does not give what is asked.
        EngineError: The engine refuses a part of the model.
    """
    check_scan(volume, model.plan)
    answer = answer_of(model.plan, probabilities=probabilities)
    answer.check(str(volume.source or "volume"))
    tell = stage or _silent
    source = prepared(model, scan, ArraySlabs(volume.array, volume.grid), tell)
    return run_slabs(model, scan, source, answer, None, scratch, tell)


def run_slabs(
    model: Model,
    scan: StreamedScan,
    source: Slabs,
    answer: Answer,
    path: Path | None,
    scratch: Path,
    tell: Stage,
) -> Any:
    """Run the planned pass on the slabs of a scan.

    Args:
        model: The model.
        scan: The scan with its plan.
        source: The scan as the network sees it, on the model's grid.
        answer: What the network's slices mean.
        path: The file for the result; None: it is made in memory.
        scratch: An empty folder for what is spilled.
        tell: Told what is being done.

    Returns:
        The task's result; of one that was written, what the task says of it.
    """
    plan = scan.plan
    with answer.receive(scan.on_grid, scan.grid, plan.axis, scratch, path) as receiver:
        compile_part: Callable[[ir.Model], Any] = partial(
            open_part, engine=model.engine.name, threads=model.threads
        )
        execution = Execution(
            plan.program, plan.axes, compile_part, scratch, partial(tell, "prepare")
        )
        slices = _Slices(model.plan, scan, answer, receiver)
        execution.run(source, slices.take, partial(tell, "predict"))
        slices.finish()
        return receiver.result()


class _Slices:
    """Hands the network's slices on as scores, with what lies around them."""

    def __init__(self, plan: Plan, scan: StreamedScan, answer: Answer, receiver: Receiver) -> None:
        self._answer = answer
        self._axis = scan.plan.axis
        self._receiver = receiver
        self._size = scan.on_grid.shape
        answered = scan.plan.program.fixed.shapes[scan.plan.program.target][2:]
        self._sides = margins(answered, self._size, plan)
        self._begun = False

    def take(self, start: int, slices: NDArray[Any]) -> None:
        """Take slices of the network's answer, (1, K, …)."""
        if not self._begun:
            self._begun = True
            self._nothing(self._sides[self._axis][0])
        across = [(0, 0) if axis == self._axis else s for axis, s in enumerate(self._sides)]
        self._receiver.push(surrounded(self._answer.scores(slices[0]), across, self._answer))

    def finish(self) -> None:
        """Tell what lies behind the network's answer."""
        self._nothing(self._sides[self._axis][1])

    def _nothing(self, planes: int) -> None:
        size = list(self._size)
        size[self._axis] = 1
        depth, height, width = size
        for _ in range(planes):
            self._receiver.push(self._answer.outside((depth, height, width)))


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
    # The axis of the scan's own array that follows the streamed one.
    axis = StreamedScores(scan.on_grid, scan.grid, scan.plan.axis, 1).scan_axis
    several = len(scan.files) == 1 and scan.grid.num_channels > 1
    readers = [
        open_slabs(file, scratch, axis, several, _share(tell, "read")) for file in scan.files
    ]
    return prepared(model, scan, _Channels(readers), tell)


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
