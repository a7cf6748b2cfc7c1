"""What is predicted without computing is what a pass takes, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from volunet.inference.engines.static import open_static
from volunet.inference.streaming import buffers
from volunet.inference.streaming.buffers import Pool, Spill
from volunet.inference.streaming.execution import Execution
from volunet.inference.streaming.simulation import simulate

SIZE = (23, 5, 4)

CHOICES: dict[str, tuple[Any, Any]] = {
    "plain": ((), ()),
    "recomputed": (lambda names: names[::2], ()),
    "spilled": ((), lambda names: names[1::2]),
    "all spilled": ((), list),
    "both": (lambda names: names[1::3], lambda names: names[::3]),
}


@pytest.fixture
def network(net: Any) -> Any:
    """Two levels, a skip, and an instance norm, whose statistics are made at once."""
    made = net(SIZE)
    made.conv(3, (3, 1, 1), pads=[1, 0, 0, 1, 0, 0])
    top = made.add("InstanceNormalization", made.x, made.normal(3, mean=1), made.normal(3))
    made.conv(3, (2, 1, 1), strides=[2, 1, 1])
    middle = made.add("Relu")
    made.conv(4, (3, 3, 1), strides=[2, 1, 1], pads=[1, 1, 0, 1, 1, 0])
    made.transposed(3, (3, 1, 1), strides=[2, 1, 1], pads=[1, 0, 0, 1, 0, 0])
    made.add("Concat", made.x, middle, axis=1)
    made.transposed(2, (3, 1, 1), strides=[2, 1, 1])
    made.add("Concat", made.x, top, axis=1)
    made.conv(2, (3, 3, 3), pads=[1] * 6)
    return made


@dataclass
class Taken:
    """What a pass took."""

    pool: int
    whole: int
    arena: int
    disk: int
    traffic: int


@pytest.fixture
def take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Taken]:
    """Run a program and count."""

    def run(built: Any, x: Any) -> Taken:
        traffic = [0]
        write, read = buffers.os.pwrite, buffers.os.preadv

        def written(file: int, data: Any, offset: int) -> int:
            count = write(file, data, offset)
            traffic[0] += count
            return count

        def read_back(file: int, data: Any, offset: int) -> int:
            count = read(file, data, offset)
            traffic[0] += count
            return count

        blocks = [0]
        hand_out = Pool.take

        def handed(pool: Pool, shape: tuple[int, ...], dtype: Any) -> Any:
            num_bytes = int(np.prod(shape)) * dtype.itemsize
            if not pool._free.get(num_bytes):
                blocks[0] += num_bytes
            return hand_out(pool, shape, dtype)

        monkeypatch.setattr(Pool, "take", handed)
        monkeypatch.setattr(buffers.os, "pwrite", written)
        monkeypatch.setattr(buffers.os, "preadv", read_back)
        execution = Execution(
            built.program, built.axes, lambda model: open_static(model, "onnxruntime", 1), tmp_path
        )
        whole = [0]
        store = execution._store

        def stored(*arguments: Any) -> None:
            store(*arguments)
            held = sum(made.array.nbytes for made in execution._wholes.values())
            whole[0] = max(whole[0], held)

        monkeypatch.setattr(execution, "_store", stored)

        class Slabs:
            def read(self, axis: int, start: int, stop: int) -> Any:
                return x[0][(slice(None),) * (axis + 1) + (slice(start, stop),)]

        execution.run(Slabs(), lambda start, block: None)
        free = sum(block.nbytes for held in execution._pool._free.values() for block in held)
        assert free <= blocks[0]
        files = sum(file.stat().st_size for file in tmp_path.glob("*.spill"))
        return Taken(blocks[0], whole[0], execution._arena.nbytes, files, traffic[0])

    return run


@pytest.mark.parametrize("chunk", [1, 2, (3, 8, 1)], ids=str)
@pytest.mark.parametrize("choice", CHOICES)
def test_a_pass_takes_what_was_predicted(
    choice: str, chunk: Any, network: Any, build: Any, scan: Any, take: Callable[..., Taken]
) -> None:
    built = build(network.model(), SIZE, 2, chunk, *CHOICES[choice])
    predicted = simulate(built.program)
    taken = take(built, scan(*SIZE))
    assert taken.pool == predicted.pool_bytes
    assert taken.arena == predicted.arena_bytes
    assert taken.whole == predicted.whole_bytes
    assert taken.whole > 0
    assert taken.disk == predicted.disk_bytes
    assert taken.traffic == predicted.traffic_bytes
    assert (taken.disk > 0) == ("spilled" in choice or choice == "both")
    memory = taken.pool + taken.arena + taken.whole
    assert predicted.memory_bytes == memory


@pytest.mark.parametrize("axis", [3, 4], ids=["H", "W"])
def test_along_the_other_axes(
    axis: int, network: Any, build: Any, scan: Any, take: Callable[..., Taken]
) -> None:
    built = build(network.model(), SIZE, axis, 2, (), list)
    predicted, taken = simulate(built.program), take(built, scan(*SIZE))
    assert (taken.pool, taken.arena, taken.whole) == (
        predicted.pool_bytes, predicted.arena_bytes, predicted.whole_bytes,
    )  # fmt: skip
    assert (taken.disk, taken.traffic) == (predicted.disk_bytes, predicted.traffic_bytes)


def test_what_is_held_longer_is_seen(
    network: Any,
    build: Any,
    scan: Any,
    take: Callable[..., Taken],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = build(network.model(), SIZE, 2, 2)
    release = buffers.Ring.release
    monkeypatch.setattr(buffers.Ring, "release", lambda self, keep: release(self, keep - 2))
    assert take(built, scan(*SIZE)).pool > simulate(built.program).pool_bytes


def test_what_is_never_freed_on_disk_is_seen(
    network: Any,
    build: Any,
    scan: Any,
    take: Callable[..., Taken],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = build(network.model(), SIZE, 2, 2, (), list)
    monkeypatch.setattr(Spill, "release", lambda self, keep: None)
    assert take(built, scan(*SIZE)).disk > simulate(built.program).disk_bytes


def test_a_delay_line_by_hand(net: Any, build: Any) -> None:
    made = net((12, 5, 4))
    made.conv(3, (1, 1, 1))
    skip = made.add("Relu")
    made.conv(3, (3, 1, 1), pads=[1, 0, 0, 1, 0, 0])
    made.conv(3, (3, 1, 1), pads=[1, 0, 0, 1, 0, 0])
    made.add("Add", skip, made.x)
    made.conv(2, (1, 1, 1))
    slice_bytes = 3 * 5 * 4 * 4
    held = {}
    for name, (recomputed, spilled) in CHOICES.items():
        held[name] = simulate(build(made.model(), (12, 5, 4), 2, 1, recomputed, spilled).program)
    plain = held["plain"]
    assert max(plain.held.values()) >= 3 * slice_bytes
    assert all(num_bytes % slice_bytes == 0 for num_bytes in plain.held.values())
    assert (plain.disk_bytes, plain.traffic_bytes, plain.whole_bytes) == (0, 0, 0)
    assert held["all spilled"].pool_bytes < plain.pool_bytes
    assert held["all spilled"].disk_bytes >= max(plain.held.values())
    # Everything is written once, and read back at least once.
    assert held["all spilled"].traffic_bytes >= 2 * 12 * slice_bytes
    assert sum(plain.held.values()) <= plain.pool_bytes


def test_following_the_schedule_does_not_depend_on_what_was_followed_before(
    network: Any, build: Any
) -> None:
    built = build(network.model(), SIZE, 2, 2, lambda names: names[::2])
    first = simulate(built.program)
    assert simulate(built.program) == first
    assert np.sum([*first.held.values()]) > 0
