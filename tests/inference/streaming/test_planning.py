"""No plan beyond its budget; of those within it the quickest; a number where there is none."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from volunet.inference.streaming.fixed import fix_graph
from volunet.inference.streaming.planning import (
    CHUNKS,
    BudgetError,
    NotStreamedError,
    StreamPlan,
    _Candidates,
    plan_stream,
)
from volunet.inference.streaming.simulation import simulate

SIZE = (64, 32, 28)
BASE = 50_000_000
DISK = 10**12


@pytest.fixture(scope="module")
def network(net: Any) -> Any:
    """Two levels down and up: its skips are delay lines, and an instance norm waits for all."""
    made = net(SIZE)
    made.conv(16, (3, 3, 3), pads=[1] * 6)
    top = made.add("Relu")
    made.conv(16, (2, 2, 2), strides=[2, 2, 2])
    made.conv(16, (5, 3, 3), pads=[2, 1, 1, 2, 1, 1])
    middle = made.add("Relu")
    made.conv(16, (2, 2, 2), strides=[2, 2, 2])
    made.conv(16, (5, 3, 3), pads=[2, 1, 1, 2, 1, 1])
    made.conv(16, (5, 3, 3), pads=[2, 1, 1, 2, 1, 1])
    made.transposed(16, (2, 2, 2), strides=[2, 2, 2])
    made.add("Concat", made.x, middle, axis=1)
    made.conv(16, (3, 3, 3), pads=[1] * 6)
    made.transposed(16, (2, 2, 2), strides=[2, 2, 2])
    made.add("Concat", made.x, top, axis=1)
    made.conv(16, (3, 3, 3), pads=[1] * 6)
    made.add("InstanceNormalization", made.x, made.normal(16, mean=1), made.normal(16))
    made.conv(3, (3, 3, 3), pads=[1] * 6)
    return made


@pytest.fixture(scope="module")
def plan(network: Any, as_model: Callable[[Any], Any]) -> Callable[..., StreamPlan]:
    model = as_model(network.model())

    made: dict[Any, StreamPlan | BudgetError] = {}

    def make(budget: int | None, disk: int = DISK, engine: str = "onnxruntime") -> StreamPlan:
        key = budget, disk, engine
        if key not in made:
            try:
                made[key] = plan_stream(model, "net", SIZE, budget, engine, BASE, disk)
            except BudgetError as error:
                made[key] = error
        found = made[key]
        if isinstance(found, BudgetError):
            raise found
        return found

    return make


@pytest.fixture(scope="module")
def as_model() -> Callable[[Any], Any]:
    import onnx_ir as ir

    return ir.from_proto


def smallest_of(plan: Callable[..., StreamPlan], **options: Any) -> StreamPlan:
    with pytest.raises(BudgetError) as caught:
        plan(1, **options)
    return caught.value.smallest


def budgets_of(plan: Callable[..., StreamPlan]) -> list[int]:
    """From what the quickest plan takes to what the smallest does."""
    most, least = plan(None).peak_bytes, smallest_of(plan).peak_bytes
    assert most - least > 200_000
    return [int(b) for b in np.linspace(most, least, 6)]


def test_no_plan_takes_more_than_its_budget(plan: Callable[..., StreamPlan]) -> None:
    made = {budget: plan(budget) for budget in budgets_of(plan)}
    for budget, chosen in made.items():
        assert BASE < chosen.peak_bytes <= budget
        assert simulate(chosen.program) == chosen.footprint
    seconds = [chosen.seconds for chosen in made.values()]
    assert seconds == sorted(seconds)
    assert seconds[0] < seconds[-1]


def test_without_a_budget_nothing_is_done_twice(plan: Callable[..., StreamPlan]) -> None:
    chosen = plan(None)
    assert (chosen.chunk, chosen.work) == (CHUNKS[0], 1.0)
    assert (chosen.recomputed, chosen.spilled) == ((), ())
    assert (chosen.footprint.disk_bytes, chosen.footprint.traffic_bytes) == (0, 0)
    assert chosen == plan(10**12) or chosen.rank == plan(10**12).rank


def test_a_small_budget_computes_twice_or_spills(plan: Callable[..., StreamPlan]) -> None:
    chosen = plan(smallest_of(plan).peak_bytes)
    assert chosen.recomputed or chosen.spilled
    assert not set(chosen.recomputed) & set(chosen.spilled)
    assert (chosen.work > 1) == bool(chosen.recomputed)
    assert (chosen.footprint.disk_bytes > 0) == bool(chosen.spilled)
    held = {chosen.program.tensor_of[name] for name in chosen.program.spilled}
    assert held == set(chosen.spilled)


def test_without_a_disk_tensors_are_computed_twice(plan: Callable[..., StreamPlan]) -> None:
    chosen = plan(smallest_of(plan, disk=0).peak_bytes, disk=0)
    assert chosen.spilled == ()
    assert chosen.footprint.disk_bytes == 0
    assert chosen.recomputed
    assert chosen.work > 1
    assert chosen.peak_bytes < plan(None).peak_bytes


def test_a_small_disk_is_not_filled(plan: Callable[..., StreamPlan]) -> None:
    free = smallest_of(plan).footprint.disk_bytes
    assert free > 0  # else the limits below would limit nothing
    for disk in (free - 1, free // 3):
        assert smallest_of(plan, disk=disk).footprint.disk_bytes <= disk


def test_each_change_frees_memory(network: Any, as_model: Callable[[Any], Any]) -> None:
    fixed = fix_graph(as_model(network.model()), "net", SIZE)
    candidates = _Candidates(fixed, 0, "onnxruntime", BASE, DISK)
    plans = list(candidates.plans(4, 1, None))
    assert len(plans) > 2
    peaks = [made.peak_bytes for made in plans]
    assert all(after < before for before, after in itertools.pairwise(peaks))
    changes = [len(made.recomputed) + len(made.spilled) for made in plans]
    assert changes[0] == 0
    assert changes[-1] > 0
    costs = [made.seconds for made in plans]
    assert costs[-1] > costs[0]
    # Up to the first that fits, no further.
    assert len(list(candidates.plans(4, peaks[1], None))) == 2
    # Nor once it is no quicker than what there is.
    assert len(list(candidates.plans(4, 1, plans[0]))) == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_longest_axis_of_a_plain_network(
    net: Any, as_model: Callable[[Any], Any], axis: int
) -> None:
    size = [20, 20, 20]
    size[axis] = 48
    made = net(size)
    made.conv(4, (3, 3, 3), pads=[1] * 6)
    made.add("Relu")
    made.conv(2, (3, 3, 3), pads=[1] * 6)
    model = as_model(made.model())
    for budget in (None, 10**9):
        assert plan_stream(model, "net", size, budget, "openvino", BASE, 0).axis == axis
    with pytest.raises(BudgetError) as caught:
        plan_stream(model, "net", size, 1, "openvino", BASE, 0)
    assert caught.value.smallest.axis == axis


def test_the_smallest_budget_is_met_and_one_byte_less_is_not(
    plan: Callable[..., StreamPlan],
) -> None:
    smallest = smallest_of(plan).peak_bytes
    assert plan(smallest).peak_bytes == smallest
    with pytest.raises(BudgetError) as caught:
        plan(smallest - 1)
    assert caught.value.smallest.peak_bytes == smallest
    assert caught.value.where == "net"


def test_the_engine_and_the_process_count(plan: Callable[..., StreamPlan]) -> None:
    peaks = [plan(None, engine=engine).peak_bytes for engine in ("onnxruntime", "torch")]
    assert len(set(peaks)) == 2
    for engine in ("onnxruntime", "openvino", "torch"):
        chosen = plan(None, engine=engine)
        assert chosen.peak_bytes > BASE + chosen.footprint.memory_bytes + 25_000_000


def test_a_network_that_needs_all_of_every_axis(net: Any, as_model: Callable[[Any], Any]) -> None:
    made = net((4, 5, 6))
    made.add("Reshape", made.x, made.weight(np.array([2, 120])))
    flat = made.x
    made.add("Transpose", perm=[1, 0])
    made.add("MatMul", made.x, flat)
    made.add("Softmax", axis=-1)
    made.add("MatMul", flat, made.x)
    made.add("Reshape", made.x, made.weight(np.array([1, 2, 4, 5, 6])))
    message = r"^net: no axis along which .*\nAt least .*\nRun it whole: leave out --memory"
    with pytest.raises(NotStreamedError, match=message):
        plan_stream(as_model(made.model()), "net", (4, 5, 6), None, "openvino", BASE, 0)


def test_an_answer_of_our_network_is_planned_along_every_axis(tiny_onnx: Path) -> None:
    import onnx_ir as ir

    model = ir.load(tiny_onnx)
    for size, axis in (((40, 24, 24), 0), ((24, 40, 24), 1), ((24, 24, 40), 2)):
        chosen = plan_stream(model, "tiny", size, None, "openvino", BASE, 0)
        assert (chosen.axis, chosen.program.fixed.shapes[chosen.program.target]) == (
            axis, (1, 3, *size),
        )  # fmt: skip
