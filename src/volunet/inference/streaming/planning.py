"""`plan_stream`: the program of least work whose memory stays within a budget.

Along each axis and for several numbers of slices a run, the plain program is followed; while it
holds too much, the tensor whose spilling or second computation frees most for its cost is changed.
Of all programs that fit, the quickest by the machine's rates is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import onnx_ir as ir

from volunet.errors import VolunetError
from volunet.inference.streaming.fixed import FixedGraph, fix_graph
from volunet.inference.streaming.flows import Flows, follow
from volunet.inference.streaming.groups import Group, form_groups
from volunet.inference.streaming.kernels import Kernel, make_kernel
from volunet.inference.streaming.lowering import lower
from volunet.inference.streaming.memory import engine_bytes
from volunet.inference.streaming.program import Program, make_program
from volunet.inference.streaming.simulation import Footprint, simulate

CHUNKS: Final = (8, 4, 2, 1)
"""Slices of the input in a run, the quickest first."""

_OVERHEAD: Final = {8: 1.0, 4: 1.04, 2: 1.12, 1: 1.3}
"""Time of runs of so many slices by the same work in runs of 8: windows overlap more."""

_FLOPS_PER_S: Final = 1.5e11
_DISK_BYTES_PER_S: Final = 5e8
"""A laptop's processor and disk; only their ratio decides, between computing again and spilling."""

_MOST_CHANGES: Final = 40
_MOST_TRIED: Final = 3
"""Of the tensors that hold most, how many are considered for the next change."""

_MARGIN: Final = 1.02
"""On a budget that is suggested: what a process holds before the pass differs from run to run."""

_FAR: Final = 1.5
"""An axis along which the plain pass takes so much more memory is left out."""


@dataclass(frozen=True)
class StreamPlan:
    """A program with what it will take.

    Attributes:
        program: The program.
        axes: The axis of each tensor.
        axis: The axis of (D, H, W) that is streamed.
        chunk: Slices of the input in a run.
        recomputed: Tensors that are computed once more.
        spilled: Tensors that are held on disk.
        footprint: What it holds.
        peak_bytes: Predicted peak of the process.
        plain_flops: Operations of a pass in which nothing is computed twice.
    """

    program: Program
    axes: Mapping[str, int | None]
    axis: int
    chunk: int
    recomputed: tuple[str, ...]
    spilled: tuple[str, ...]
    footprint: Footprint
    peak_bytes: int
    plain_flops: int

    @property
    def work(self) -> float:
        """Operations by those of a pass in which nothing is computed twice."""
        return self.program.flops / max(self.plain_flops, 1)

    @property
    def seconds(self) -> float:
        """Time by the rates of a laptop; only good for comparing plans."""
        computing = self.program.flops / _FLOPS_PER_S * _OVERHEAD[self.chunk]
        return computing + self.footprint.traffic_bytes / _DISK_BYTES_PER_S

    @property
    def rank(self) -> tuple[float, int]:
        """What plans are chosen by: the quickest, of those the smallest."""
        return self.seconds, self.peak_bytes


def plan_stream(
    model: ir.Model,
    where: str,
    size: Sequence[int],
    budget: int | None,
    engine: str,
    base_bytes: int,
    disk_bytes: int,
) -> StreamPlan:
    """Plan a streamed pass.

    Args:
        model: The model.
        where: Its file, for messages.
        size: Size of the scan on the model's grid, (D, H, W).
        budget: Bytes that the process may take at most; None takes the quickest plan.
        engine: Name of the engine.
        base_bytes: Bytes that the process takes without the pass, scan and answer included.
        disk_bytes: Bytes on disk for what is spilled.

    Raises:
        ShapeError: An operator has no rule, or the network does not work at this size.
        NotStreamedError: All of the network waits for a whole axis.
        BudgetError: No plan fits; the smallest budget that one does is told.
    """
    fixed = fix_graph(model, where, size)
    along = [_Candidates(fixed, axis, engine, base_bytes, disk_bytes) for axis in _axes_of(size)]
    along = [candidates for candidates in along if candidates.is_streamed]
    if not along:
        raise NotStreamedError(
            where,
            "no axis along which its slices could be computed one after another",
            "At least the layers on the scan's own grid look at a neighbourhood only.",
            "Run it whole: leave out --memory, or give more.",
        )
    plain = {candidates: next(candidates.plans(CHUNKS[0], None, None)) for candidates in along}
    least = min(plan.footprint.memory_bytes for plan in plain.values())
    # The planes of other axes are so much larger that every plan along them is the worse one.
    near = {c: plan for c, plan in plain.items() if plan.footprint.memory_bytes <= _FAR * least}
    best: StreamPlan | None = None
    smallest = min(near.values(), key=lambda plan: plan.peak_bytes)
    for candidates in near:
        for chunk in CHUNKS:
            for plan in candidates.plans(chunk, budget, best):
                smallest = min(smallest, plan, key=lambda plan: plan.peak_bytes)
                fits = budget is None or plan.peak_bytes <= budget
                if fits and (best is None or plan.rank < best.rank):
                    best = plan
    if best is None:
        raise BudgetError(smallest, budget or 0, where)
    return best


class NotStreamedError(VolunetError, ValueError):
    """A network that cannot be streamed."""


class BudgetError(VolunetError, MemoryError):
    """A budget that no plan meets.

    Attributes:
        smallest: The plan that takes least.
    """

    def __init__(self, smallest: StreamPlan, budget: int, where: str) -> None:
        super().__init__(
            where,
            f"a budget of {_megabytes(budget)}",
            f"The smallest that this network and scan can be run in is "
            f"{_megabytes(smallest.peak_bytes)}: weights, engine and the windows of its largest "
            "layer must be in memory.",
            f"Give --memory {-(-int(_MARGIN * smallest.peak_bytes) // 10**6)}MB or more.",
        )
        self.smallest = smallest


def _megabytes(num_bytes: int) -> str:
    return f"{-(-num_bytes // 10**6):,} MB"


def _axes_of(size: Sequence[int]) -> list[int]:
    """The longest axis first: planes across it are the smallest."""
    return sorted(range(3), key=lambda axis: (-size[axis], axis))


class _Candidates:
    """The plans along one axis."""

    def __init__(
        self, fixed: FixedGraph, axis: int, engine: str, base_bytes: int, disk_bytes: int
    ) -> None:
        self._axis = axis
        self._fixed = lower(fixed, axis + 2)
        self._flows: Flows = follow(self._fixed, axis + 2)
        self._groups = form_groups(self._fixed, self._flows)
        self._engine = engine
        self._base_bytes = base_bytes
        self._disk_bytes = disk_bytes
        self._rate_of = fixed.shapes[fixed.source][axis + 2]

    @property
    def is_streamed(self) -> bool:
        """Whether the answer comes slice by slice."""
        last = next(g for g in self._groups if self._fixed.target in g.outputs)
        return not last.is_whole

    def plans(
        self, chunk: int, budget: int | None, best: StreamPlan | None
    ) -> Iterator[StreamPlan]:
        """Plans of less and less memory, up to the first within the budget.

        Every change takes time: behind a plan that is no quicker than the best, none will be.
        """
        kernels = [
            make_kernel(self._fixed, group, self._flows.axes, self._slices(group, chunk))
            for group in self._groups
        ]
        plain = sum(kernel.group.flops for kernel in kernels)
        recomputed: frozenset[str] = frozenset()
        spilled: frozenset[str] = frozenset()
        plan = self._plan(kernels, chunk, recomputed, spilled, plain)
        yield plan
        for _ in range(_MOST_CHANGES):
            if budget is None or plan.peak_bytes <= budget:
                return
            if best is not None and plan.rank >= best.rank:
                return
            better = self._better(plan, kernels, recomputed, spilled, plain)
            if better is None:
                return
            plan, recomputed, spilled = better
            yield plan

    def _better(
        self,
        plan: StreamPlan,
        kernels: list[Kernel],
        recomputed: frozenset[str],
        spilled: frozenset[str],
        plain: int,
    ) -> tuple[StreamPlan, frozenset[str], frozenset[str]] | None:
        """The change that frees most for its cost."""
        held: dict[str, int] = {}
        for buffer, num_bytes in plan.footprint.held.items():
            tensor = plan.program.tensor_of[buffer]
            held[tensor] = held.get(tensor, 0) + num_bytes
        best = None
        for tensor in sorted(held, key=lambda name: -held[name])[:_MOST_TRIED]:
            for changed in (
                (recomputed | {tensor}, spilled - {tensor}),
                (recomputed - {tensor}, spilled | {tensor}),
            ):
                if changed == (recomputed, spilled):
                    continue
                other = self._plan(kernels, plan.chunk, *changed, plain)
                saved = plan.peak_bytes - other.peak_bytes
                if saved <= 0 or other.footprint.disk_bytes > self._disk_bytes:
                    continue
                price = max(other.seconds - plan.seconds, 0.0) / saved
                if best is None or price < best[0]:
                    best = price, (other, *changed)
        return None if best is None else best[1]

    def _plan(
        self,
        kernels: list[Kernel],
        chunk: int,
        recomputed: frozenset[str],
        spilled: frozenset[str],
        plain: int,
    ) -> StreamPlan:
        program = make_program(self._fixed, kernels, recomputed, spilled)
        footprint = simulate(program)
        peak = self._base_bytes + footprint.memory_bytes + engine_bytes(program, self._engine)
        return StreamPlan(
            program, self._flows.axes, self._axis, chunk, tuple(sorted(recomputed - spilled)),
            tuple(sorted(spilled)), footprint, peak, plain,
        )  # fmt: skip

    def _slices(self, group: Group, chunk: int) -> int:
        """Slices of a group's finest tensor in a run.

        Twice as many on coarse levels as they are coarser: their slices are small, and a run costs
        the same whatever it does.
        """
        if group.is_whole:
            return 0
        finest = max(group.ratios, key=lambda name: group.ratios[name])
        axis = self._flows.axes[finest] or 0
        rate = Fraction(self._fixed.shapes[finest][axis], self._rate_of)
        wanted = chunk if rate > Fraction(9, 10) else min(round(2 * chunk * rate), chunk)
        return -(-max(wanted, 1) // group.granule) * group.granule
