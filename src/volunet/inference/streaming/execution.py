"""Running a program: slices from the scan, through the engine, to whoever takes the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from volunet.graph.spans import Interpolated, Mirrored, Pointwise
from volunet.inference.engines.static import StaticModel
from volunet.inference.streaming.buffers import (
    Buffer,
    Pool,
    Ring,
    Slabs,
    Source,
    Spill,
    Whole,
    along,
)
from volunet.inference.streaming.flows import reads_apart
from volunet.inference.streaming.kernels import Kernel, kernel_model
from volunet.inference.streaming.process import trim
from volunet.inference.streaming.program import Call, Program
from volunet.inference.streaming.schedule import END, Schedule
from volunet.inference.streaming.windows import interpolation, sources

Array = NDArray[Any]
Sink = Callable[[int, Array], None]
"""Takes the answer's slices: the first one, and (1, K, …) of them."""


class Execution:
    """A program that is ready to run.

    Args:
        program: The program.
        axes: The axis of each tensor.
        compile_model: Makes the sub-models ready; called once for each kernel.
        scratch: An empty folder for what is spilled.
        progress: Called with the share of the sub-models that are ready.
    """

    def __init__(
        self,
        program: Program,
        axes: Mapping[str, int | None],
        compile_model: Callable[[ir.Model], StaticModel],
        scratch: Path,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self._program = program
        self._axes = axes
        self._scratch = scratch
        self._models: dict[int, StaticModel] = {}
        self._arena = np.zeros(arena_bytes(program), np.uint8)
        self._pool = Pool()
        self._wholes: dict[str, Whole] = {}
        kernels = {id(call.kernel): call.kernel for call in program.calls}
        for done, (key, kernel) in enumerate(kernels.items()):
            model = kernel_model(program.fixed, kernel, axes)
            self._models[key] = compile_model(model)
            del model
            self._warm_up(kernel)
            trim()
            if progress:
                progress((done + 1) / len(kernels))

    def run(
        self, slabs: Slabs, sink: Sink, progress: Callable[[float], None] | None = None
    ) -> None:
        """Run the program on a scan.

        Args:
            slabs: The scan on the model's grid.
            sink: Takes the answer's slices, in order; it must not keep them.
            progress: Called with the share of the work that is done.
        """
        self._buffers: dict[str, Buffer] = {self._program.source: Source(slabs)}
        self._sink = sink
        work = [call.kernel.group.flops / call.kernel.runs for call in self._program.calls]
        total = sum(w * call.kernel.runs for w, call in zip(work, self._program.calls, strict=True))
        done = 0.0

        def run(place: int, number: int) -> None:
            nonlocal done
            self._run(self._program.calls[place], number)
            done += work[place]
            if progress:
                progress(done / max(total, 1))

        try:
            Schedule(self._program, run, self._release).steps()
        finally:
            for buffer in self._buffers.values():
                if isinstance(buffer, Spill):
                    buffer.close()
            self._buffers = {}
            self._wholes = {}

    def _warm_up(self, kernel: Kernel) -> None:
        """Run a sub-model once on nothing.

        Engines allocate at the first run, and OpenVINO then lets go of arrays of its own for those
        that it is given: better now, while no slices are held, than at the fullest.
        """
        if kernel.group.is_whole:
            return
        fixed = self._program.fixed
        shapes = list(zip(kernel.feed_shapes, (f.tensor for f in kernel.group.feeds), strict=True))
        inputs: list[Array] = []
        for index, (shape, tensor) in enumerate(shapes):
            inputs.append(np.zeros(shape, fixed.dtypes[tensor].numpy()))
            feed = kernel.group.feeds[index]
            if isinstance(feed.span, Interpolated):
                rows = (kernel.chunk[feed.reader], kernel.windows[index].length)
                inputs.append(np.zeros(rows, fixed.dtypes[tensor].numpy()))
        statics = kernel.group.statics
        inputs += [np.zeros(fixed.shapes[name], fixed.dtypes[name].numpy()) for name in statics]
        outputs = [
            self._pool.take(shape, fixed.dtypes[name].numpy())
            for name, shape in zip(kernel.group.outputs, kernel.output_shapes, strict=True)
        ]
        self._models[id(kernel)].run(inputs, outputs)
        for block in outputs:
            self._pool.give(block)

    def _run(self, call: Call, number: int) -> None:
        kernel = call.kernel
        inputs: list[Array] = []
        offset = 0
        for index, feed in enumerate(kernel.group.feeds):
            block = self._direct(call, index, number)
            if block is None:
                shape = kernel.feed_shapes[index]
                dtype = self._program.fixed.dtypes[feed.tensor].numpy()
                size = _aligned(prod(shape) * dtype.itemsize)
                array = self._arena[offset : offset + prod(shape) * dtype.itemsize]
                block = array.view(dtype).reshape(shape)
                self._fill(call, index, number, block)
                offset += size
            inputs.append(block)
            if isinstance(feed.span, Interpolated) and not kernel.group.is_whole:
                windows, chunk = kernel.windows[index], kernel.chunk[feed.reader]
                start = int(windows.starts[number])
                weights = interpolation(
                    feed.span, start, windows.length, number * chunk, chunk, block.dtype
                )
                inputs.append(weights)
        for name in call.statics:
            inputs.append(self._wholes[name].array)
        outputs = []
        for name, shape in zip(kernel.group.outputs, kernel.output_shapes, strict=True):
            dtype = self._program.fixed.dtypes[name].numpy()
            if kernel.group.is_whole:
                outputs.append(np.empty(shape, dtype))
            else:
                outputs.append(self._pool.take(shape, dtype))
        self._models[id(kernel)].run(inputs, outputs)
        for name, buffer_name, array in zip(
            kernel.group.outputs, call.outputs, outputs, strict=True
        ):
            self._store(kernel, name, buffer_name, number, array)

    def _direct(self, call: Call, index: int, number: int) -> Array | None:
        """The block that is a feed's window itself, where it is one."""
        if not is_direct(self._program, call, index):
            return None
        buffer = self._buffers[call.feeds[index][0]]
        return buffer.blocks[number] if isinstance(buffer, Ring) else None

    def _fill(self, call: Call, index: int, number: int, block: Array) -> None:
        """Bring a window together; slices beyond the volume are the operator's own padding."""
        kernel = call.kernel
        feed, windows = kernel.group.feeds[index], kernel.windows[index]
        if kernel.group.is_whole:
            block = np.moveaxis(block, 1, -1)
        axis = feed.axis - 1
        channel = 0
        for part in call.feeds[index]:
            tensor = self._program.tensor_of[part]
            count = self._program.fixed.shapes[tensor][1]
            target = block[..., channel : channel + count]
            channel += count
            start = int(windows.starts[number])
            if isinstance(feed.span, Mirrored) and not kernel.group.is_whole:
                out_size = self._program.fixed.shapes[feed.reader][feed.axis]
                places = sources(feed.span, start, windows.length, out_size)
                for place, slice_ in enumerate(places):
                    one = along(target, axis, place, place + 1)
                    if slice_ is None:
                        one[...] = feed.fill
                    else:
                        self._buffers[part].copy_to(one, axis, slice_, slice_ + 1)
                continue
            low = min(max(start, 0), feed.size)
            high = max(int(windows.needs[number]), low)
            along(target, axis, 0, low - start)[...] = feed.fill
            along(target, axis, high - start, windows.length)[...] = feed.fill
            if low < high:  # a window before the first slice needs none to be there yet
                inside = along(target, axis, low - start, high - start)
                self._buffers[part].copy_to(inside, axis, low, high)

    def _store(
        self, kernel: Kernel, name: str, buffer_name: str, number: int, array: Array
    ) -> None:
        axis = self._axes[name]
        is_target = buffer_name == self._program.target
        if kernel.group.is_whole:
            if is_target:
                self._sink(0, array)
            else:
                self._buffers[buffer_name] = self._wholes[buffer_name] = Whole(array)
            return
        chunk = kernel.chunk[name]
        if is_target:
            size = self._program.fixed.shapes[name][axis or 0]
            count = min(chunk, size - number * chunk)
            if count > 0:
                kept = along(array, (axis or 0) - 1, 0, count)
                self._sink(number * chunk, np.moveaxis(kept, -1, 1))
            self._pool.give(array)
            return
        buffer = self._buffers.get(buffer_name)
        if buffer is None:
            buffer = self._buffers[buffer_name] = self._make(buffer_name, chunk, array)
        if isinstance(buffer, Ring | Spill):
            buffer.put(number, array)

    def _make(self, name: str, chunk: int, array: Array) -> Ring | Spill:
        if name not in self._program.spilled:
            return Ring(self._pool, chunk)
        path = self._scratch / f"{sorted(self._program.spilled).index(name)}.spill"
        return Spill(path, self._pool, chunk, array.shape, array.dtype)

    def _release(self, name: str, keep: int) -> None:
        buffer = self._buffers.get(name)
        if isinstance(buffer, Ring | Spill):
            buffer.release(keep)
        elif isinstance(buffer, Whole) and keep >= END:
            del self._buffers[name], self._wholes[name]


def is_direct(program: Program, call: Call, index: int) -> bool:
    """Whether a feed's windows are the very blocks that its tensor is made in."""
    kernel = call.kernel
    parts = call.feeds[index]
    if kernel.group.is_whole or len(parts) > 1 or parts[0] in program.spilled:
        return False
    maker = program.makers.get(parts[0])
    if maker is None or program.calls[maker].kernel.group.is_whole:
        return False
    chunk = program.calls[maker].kernel.chunk[program.tensor_of[parts[0]]]
    windows, feed = kernel.windows[index], kernel.group.feeds[index]
    starts = np.arange(kernel.runs) * chunk
    # A reader that moves the axis, as a transpose does, reads slice by slice.
    is_moved = isinstance(feed.span, Pointwise)
    out_size = feed.size if is_moved else program.fixed.shapes[feed.reader][feed.axis]
    # Slices of a block past the tensor's end are not the padding that other readers would see.
    apart = reads_apart(feed.span, feed.size, out_size)
    return apart and windows.length == chunk and np.array_equal(windows.starts, starts)


def arena_bytes(program: Program) -> int:
    """Bytes of the windows of the call that needs most."""
    most = 0
    for call in program.calls:
        sizes = [
            _aligned(prod(shape) * program.fixed.dtypes[feed.tensor].numpy().itemsize)
            for index, (feed, shape) in enumerate(
                zip(call.kernel.group.feeds, call.kernel.feed_shapes, strict=True)
            )
            if not is_direct(program, call, index)
        ]
        most = max(most, sum(sizes))
    return most


def _aligned(num_bytes: int) -> int:
    return -(-num_bytes // 64) * 64
