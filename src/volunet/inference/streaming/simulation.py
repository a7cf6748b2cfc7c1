"""What a program will hold in memory and on disk: its schedule, followed with sizes alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from volunet.inference.streaming.execution import arena_bytes
from volunet.inference.streaming.program import Program
from volunet.inference.streaming.schedule import Schedule


@dataclass(frozen=True)
class Footprint:
    """What a program holds.

    Attributes:
        pool_bytes: Blocks of slices, at most.
        whole_bytes: Tensors that are made at once, at most.
        arena_bytes: Windows of the call that needs most.
        disk_bytes: Blocks on disk, at most; a file for each tensor, none of which ever shrinks.
        traffic_bytes: Bytes written to disk and read back.
        held: Bytes of each buffer when the most was held.
    """

    pool_bytes: int
    whole_bytes: int
    arena_bytes: int
    disk_bytes: int
    traffic_bytes: int
    held: Mapping[str, int]

    @property
    def memory_bytes(self) -> int:
        """Bytes in memory, at most."""
        return self.pool_bytes + self.whole_bytes + self.arena_bytes


def simulate(program: Program) -> Footprint:
    """Follow a program's schedule."""
    return _Simulation(program).footprint()


class _Simulation:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._bytes: dict[str, int] = {}
        self._chunk: dict[str, int] = {}
        for call in program.calls:
            group = call.kernel.group
            for buffer, name, shape in zip(
                call.outputs, group.outputs, call.kernel.output_shapes, strict=True
            ):
                self._bytes[buffer] = prod(shape) * program.fixed.dtypes[name].numpy().itemsize
                if not group.is_whole:
                    self._chunk[buffer] = call.kernel.chunk[name]
        self._blocks: dict[str, tuple[int, int]] = {}
        self._live: Counter[int] = Counter()
        self._most: Counter[int] = Counter()
        self._whole = self._most_whole = 0
        self._on_disk: Counter[str] = Counter()
        self._most_on_disk: Counter[str] = Counter()
        self._traffic = 0
        self._total = self._largest = 0
        self._held: dict[str, int] = {}
        self._kept: dict[str, int] = {}

    def footprint(self) -> Footprint:
        Schedule(self._program, self._run, self._release).steps()
        return Footprint(
            sum(size * count for size, count in self._most.items()),
            self._most_whole,
            arena_bytes(self._program),
            sum(self._most_on_disk.values()),
            self._traffic,
            self._held,
        )

    def _run(self, place: int, number: int) -> None:
        call = self._program.calls[place]
        for parts, windows in zip(call.feeds, call.kernel.windows, strict=True):
            for part in parts:
                if part in self._program.spilled:
                    start = max(int(windows.starts[number]), 0)
                    self._read(part, start, int(windows.needs[number]))
        if call.kernel.group.is_whole:
            self._whole += sum(self._bytes[name] for name in call.outputs)
            self._most_whole = max(self._most_whole, self._whole)
            return
        for name in call.outputs:
            self._take(self._bytes[name])
        self._note()
        for name in call.outputs:
            if name == self._program.target:
                self._give(self._bytes[name])
                continue
            first, _ = self._blocks.get(name, (0, 0))
            if (number + 1) * self._chunk[name] <= self._kept.get(name, 0):
                self._give(self._bytes[name])  # nobody reads it any more
                first = number + 1
            elif name in self._program.spilled:
                self._give(self._bytes[name])
                self._on_disk[name] += self._bytes[name]
                self._traffic += self._bytes[name]
                self._most_on_disk[name] = max(self._most_on_disk[name], self._on_disk[name])
            self._blocks[name] = first, number + 1

    def _read(self, name: str, start: int, stop: int) -> None:
        """The blocks of slices [start, stop) on their way from the disk, one after another."""
        if start >= stop:
            return
        self._take(self._bytes[name])
        self._give(self._bytes[name])
        chunk = self._chunk[name]
        self._traffic += self._bytes[name] * (-(-stop // chunk) - start // chunk)

    def _release(self, name: str, keep: int) -> None:
        if name not in self._chunk:
            if name in self._bytes and name not in self._blocks:
                self._whole -= self._bytes[name]
                self._blocks[name] = (0, 0)
            return
        first, last = self._blocks.get(name, (0, 0))
        kept = min(keep // self._chunk[name], last)
        self._kept[name] = keep
        for _ in range(kept - first):
            if name in self._program.spilled:
                self._on_disk[name] -= self._bytes[name]
            else:
                self._give(self._bytes[name])
        self._blocks[name] = max(kept, first), last

    def _take(self, size: int) -> None:
        self._live[size] += 1
        self._total += size
        self._most[size] = max(self._most[size], self._live[size])

    def _give(self, size: int) -> None:
        self._live[size] -= 1
        self._total -= size

    def _note(self) -> None:
        if self._total > self._largest:
            self._largest = self._total
            self._held = {
                name: (last - first) * self._bytes[name]
                for name, (first, last) in self._blocks.items()
                if name not in self._program.spilled and last > first
            }
