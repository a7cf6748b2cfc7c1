"""`Schedule`: in which order the calls of a program run, and what may be let go behind each.

Pull-driven: the output's next slices are asked for, and each call asks for the slices that it needs
before it runs. A skip connection so becomes a delay line by itself. Planning follows the schedule
with the sizes alone, execution with the slices: the order stands here, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from volunet.inference.streaming.program import Call, Program

END: Final = 1 << 60
"""Behind the last slice of any buffer."""


@dataclass
class _Reader:
    call: int
    feed: int


class Schedule:
    """Runs a program's calls in their order.

    Args:
        program: The program.
        run: Called with the place of a call and the number of its run.
        release: Called with a buffer and the slice before which nothing is read any more; with
            `END` once nobody reads it again.
    """

    def __init__(
        self,
        program: Program,
        run: Callable[[int, int], None],
        release: Callable[[str, int], None],
    ) -> None:
        self._program = program
        self._run = run
        self._release = release
        calls = program.calls
        self._done = [0] * len(calls)
        self._kept: dict[str, int] = {}
        self._readers: dict[str, list[_Reader]] = {}
        self._static_readers: dict[str, list[int]] = {}
        for place, call in enumerate(calls):
            for index, parts in enumerate(call.feeds):
                for part in dict.fromkeys(parts):
                    self._readers.setdefault(part, []).append(_Reader(place, index))
            for name in call.statics:
                self._static_readers.setdefault(name, []).append(place)
        self._depth = _depths(program)

    @property
    def runs(self) -> int:
        """Runs of all calls together."""
        return sum(call.kernel.runs for call in self._program.calls)

    def steps(self) -> int:
        """Run everything; the number of runs."""
        target = self._program.makers[self._program.target]
        while self._done[target] < self._program.calls[target].kernel.runs:
            self._advance(target)
        return sum(self._done)

    def _advance(self, place: int) -> None:
        """Run a call once more, whatever it needs before it."""
        call = self._program.calls[place]
        number = self._done[place]
        for name in call.statics:
            maker = self._program.makers[name]
            while self._done[maker] < self._program.calls[maker].kernel.runs:
                self._advance(maker)
        # The longest way first: what is quickly made again need not wait for the rest.
        feeds = [
            (self._depth.get(part, 0), part, int(call.kernel.windows[index].needs[number]))
            for index, parts in enumerate(call.feeds)
            for part in parts
        ]
        for _, part, need in sorted(feeds, reverse=True):
            self._ensure(part, need)
        self._run(place, number)
        self._done[place] = number + 1
        self._trim(call)

    def _ensure(self, buffer: str, stop: int) -> None:
        maker = self._program.makers.get(buffer)
        if maker is None:
            return  # the input is always there
        while self._made(buffer, maker) < stop:
            self._advance(maker)

    def _made(self, buffer: str, maker: int) -> int:
        call = self._program.calls[maker]
        if call.kernel.group.is_whole:
            return END if self._done[maker] else 0
        return self._done[maker] * call.kernel.chunk[self._program.tensor_of[buffer]]

    def _trim(self, call: Call) -> None:
        for buffer in dict.fromkeys(part for parts in call.feeds for part in parts):
            keep = min(
                int(
                    self._program.calls[reader.call]
                    .kernel.windows[reader.feed]
                    .keeps[self._done[reader.call]]
                )
                for reader in self._readers[buffer]
            )
            calls = self._program.calls
            readers = self._readers[buffer]
            if all(self._done[r.call] == calls[r.call].kernel.runs for r in readers):
                keep = END
            if keep > self._kept.get(buffer, 0):
                self._kept[buffer] = keep
                self._release(buffer, keep)
        for buffer in call.statics:
            places = self._static_readers[buffer]
            if all(self._done[place] == self._program.calls[place].kernel.runs for place in places):
                self._release(buffer, END)


def _depths(program: Program) -> dict[str, int]:
    """For each buffer the calls on the longest way to it."""
    depths: dict[str, int] = {}
    for call in program.calls:
        depth = 1 + max((depths.get(name, 0) for name in call.inputs), default=0)
        depths.update(dict.fromkeys(call.outputs, depth))
    return depths
