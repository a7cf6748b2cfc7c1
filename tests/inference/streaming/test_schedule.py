"""Every slice is computed once, when it is needed, and held until its last reader has it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from volunet.inference.streaming.schedule import Schedule

SIZE = (23, 3, 2)
CHUNKS = [1, 2, 5, (3, 8, 1)]


@pytest.fixture
def network(net: Any) -> Any:
    """Two levels down and up, skips, and an instance norm, that is waited for."""
    made = net(SIZE)
    made.conv(3, (3, 1, 1), pads=[1, 0, 0, 1, 0, 0])
    weights = made.normal(3, mean=1), made.normal(3)
    top = made.add("InstanceNormalization", made.x, *weights)
    made.conv(3, (2, 1, 1), strides=[2, 1, 1])
    middle = made.add("Relu")
    made.conv(3, (3, 1, 1), strides=[2, 1, 1], pads=[1, 0, 0, 1, 0, 0])
    made.transposed(3, (3, 1, 1), strides=[2, 1, 1], pads=[1, 0, 0, 1, 0, 0])
    made.add("Concat", made.x, middle, axis=1)
    made.transposed(2, (3, 1, 1), strides=[2, 1, 1])
    made.add("Concat", made.x, top, axis=1)
    made.conv(2, (3, 1, 1), pads=[1, 0, 0, 1, 0, 0])
    return made


class Followed:
    """What happens in a program, checked as it happens."""

    def __init__(self, program: Any) -> None:
        self.program = program
        self.runs: list[tuple[int, int]] = []
        self.made: dict[str, int] = {program.source: 10**6}
        self.kept: dict[str, int] = {}
        self.most: Counter[str] = Counter()
        self.steps = Schedule(program, self._run, self._release).steps()

    def _run(self, place: int, number: int) -> None:
        call = self.program.calls[place]
        self.runs.append((place, number))
        for parts, windows in zip(call.feeds, call.kernel.windows, strict=True):
            need = int(windows.needs[number])
            first = min(max(int(windows.starts[number]), 0), need)
            for part in parts:
                assert first == need or self.kept.get(part, 0) <= first, "released too early"
                assert need <= self.made.get(part, 0), "not made yet"
        for static in call.statics:
            assert self.kept.get(static, 0) == 0
            assert self.made[static] > 0
        for buffer, name in zip(call.outputs, call.kernel.group.outputs, strict=True):
            self.made[buffer] = (number + 1) * call.kernel.chunk.get(name, 10**6)
            held = self.made[buffer] - self.kept.get(buffer, 0)
            self.most[buffer] = max(self.most[buffer], held)

    def _release(self, buffer: str, keep: int) -> None:
        assert keep > self.kept.get(buffer, 0)
        self.kept[buffer] = keep


def missing(built: Any, call: Any, buffer: str, runs: int) -> int:
    """Slices of a buffer that some runs do not make."""
    name = built.program.tensor_of[buffer]
    return int(built.fixed.shapes[name][built.axes[name]] - runs * call.kernel.chunk[name])


@pytest.mark.parametrize("chunk", CHUNKS, ids=str)
def test_a_plain_program_makes_every_slice_once(chunk: Any, network: Any, build: Any) -> None:
    built = build(network.model(), SIZE, 2, chunk)
    program = built.program
    followed = Followed(program)
    runs = Counter(place for place, _ in followed.runs)
    assert max(Counter(followed.runs).values()) == 1
    made = Counter(name for call in program.calls for name in call.outputs)
    assert set(made.values()) == {1}
    assert set(program.tensor_of.values()) == set(program.tensor_of)
    for place, call in enumerate(program.calls):
        assert runs[place] == call.kernel.runs
        if not call.kernel.group.is_whole:
            # One run fewer would leave slices out.
            short = [missing(built, call, name, runs[place] - 1) for name in call.outputs]
            assert max(short) > 0
            assert max(missing(built, call, name, runs[place]) for name in call.outputs) <= 0
    assert followed.steps == sum(runs.values())
    # All that was made is let go, but for the answer.
    for name in set(made) - {program.target}:
        axis = built.axes[program.tensor_of[name]]
        assert followed.kept[name] >= (built.fixed.shapes[name][axis] if axis else 1)


@pytest.mark.parametrize("chunk", CHUNKS, ids=str)
def test_copies_make_every_slice_once_more(chunk: Any, network: Any, build: Any) -> None:
    plain = build(network.model(), SIZE, 2, chunk)
    for place, name in enumerate(plain.held):
        built = build(network.model(), SIZE, 2, chunk, [name], plain.held[place + 1 :][:1])
        program = built.program
        followed = Followed(program)
        copies = Counter(program.tensor_of.values())
        runs = Counter(place for place, _ in followed.runs)
        assert max(Counter(followed.runs).values()) == 1
        for number, call in enumerate(program.calls):
            assert 0 < runs[number] <= call.kernel.runs
            if not call.kernel.group.is_whole:
                left = [missing(built, call, name, runs[number]) for name in call.outputs]
                assert max(left) <= 0
        assert max(copies.values()) <= 3  # one for each phase
        assert program.flops >= plain.program.flops
    assert any(
        build(network.model(), SIZE, 2, chunk, [name]).program.flops > plain.program.flops
        for name in plain.held
    )


def test_a_buffer_holds_no_more_than_its_readers_window(net: Any, build: Any) -> None:
    made = net(SIZE)
    for kernel, stride in ((3, 1), (5, 2), (4, 1), (2, 1)):
        made.conv(2, (kernel, 1, 1), strides=[stride, 1, 1], pads=[1, 0, 0, 1, 0, 0])
    for chunk in CHUNKS:
        program = build(made.model(), SIZE, 2, chunk).program
        followed = Followed(program)
        for call in program.calls[1:]:
            (part,) = call.feeds[0]
            maker = program.calls[program.makers[part]]
            length = call.kernel.windows[0].length
            most = length + maker.kernel.chunk[part] - 1  # its last block may be wanted in part
            assert followed.most[part] <= most
            assert followed.most[part] >= min(length - 2, 8)  # padding left out


def test_a_window_that_is_let_go_too_early_is_noticed(network: Any, build: Any) -> None:
    program = build(network.model(), SIZE, 2, 2).program
    windows = [w for call in program.calls for w in call.kernel.windows if len(w.keeps) > 3]
    keeps = windows[-1].keeps
    keeps[1:-1] += 2
    with pytest.raises(AssertionError, match="released too early"):
        Followed(program)


def test_a_need_that_is_forgotten_is_noticed(network: Any, build: Any) -> None:
    program = build(network.model(), SIZE, 2, 2).program
    schedule_needs = [w.needs.copy() for c in program.calls for w in c.kernel.windows]
    assert all((np.diff(needs) >= 0).all() for needs in schedule_needs)
    followed = Followed.__new__(Followed)
    followed.program, followed.made, followed.kept = program, {}, {}
    followed.runs, followed.most = [], Counter()
    with pytest.raises(AssertionError, match="not made yet"):
        followed._run(len(program.calls) - 1, 0)


def test_all_recomputed_holds_less(network: Any, build: Any) -> None:
    chunk = 2
    plain = build(network.model(), SIZE, 2, chunk)
    # The top level's first convolution waits for its own statistics, or is computed again.
    first = plain.held[0]
    again = build(network.model(), SIZE, 2, chunk, plain.held)
    held = Followed(plain.program).most[first]
    copies = [n for n, t in again.program.tensor_of.items() if t == first]
    most = Followed(again.program).most
    assert held >= SIZE[0]
    assert [name.split("@")[0] for name in copies] == [first]
    assert max(most[name] for name in copies) < held
