"""`Program`: the calls of a streamed pass, and what becomes of each tensor between them.

A tensor that is read at several times is held in memory from the first to the last, is spilled to
disk, or is computed once more for the later readers: those get copies of the calls that lead to it.
A pass that waits for a whole axis, as the statistics of an instance norm do, has phases; each phase
has copies of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from volunet.inference.streaming.fixed import FixedGraph
from volunet.inference.streaming.kernels import Kernel, kernel_of


@dataclass(frozen=True)
class Call:
    """A kernel with what it reads and makes in this program.

    Attributes:
        kernel: The kernel.
        feeds: For each feed its buffers, one for each part.
        statics: Buffers of the tensors without the axis.
        outputs: Buffers of its outputs.
    """

    kernel: Kernel
    feeds: tuple[tuple[str, ...], ...]
    statics: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """All buffers that it reads."""
        return (*(part for feed in self.feeds for part in feed), *self.statics)


@dataclass(frozen=True)
class Program:
    """Calls and buffers.

    Attributes:
        fixed: The graph.
        calls: In an order in which each could run after those before.
        source: Buffer of the input.
        target: Buffer of the output.
        tensor_of: For each buffer the tensor that is in it.
        spilled: Buffers that are held on disk.
    """

    fixed: FixedGraph
    calls: tuple[Call, ...]
    source: str
    target: str
    tensor_of: Mapping[str, str]
    spilled: frozenset[str]
    makers: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        makers = {name: index for index, call in enumerate(self.calls) for name in call.outputs}
        object.__setattr__(self, "makers", makers)

    @property
    def flops(self) -> int:
        """Operations of one pass, what is computed again included."""
        return sum(call.kernel.group.flops for call in self.calls)


def make_program(
    fixed: FixedGraph,
    kernels: Sequence[Kernel],
    recomputed: frozenset[str] = frozenset(),
    spilled: frozenset[str] = frozenset(),
) -> Program:
    """The program of a graph.

    Args:
        fixed: The graph.
        kernels: Its kernels, in an order in which they can run.
        recomputed: Tensors that are computed once more for their later readers.
        spilled: Tensors that are held on disk.
    """
    return _Writing(fixed, kernels, recomputed, spilled).program()


@dataclass
class _Draft:
    """A call while its outputs are still being asked for."""

    wanted: dict[str, str] = field(default_factory=dict)


class _Writing:
    """Writes calls from the target backwards, so that nothing is made that nobody reads."""

    def __init__(
        self,
        fixed: FixedGraph,
        kernels: Sequence[Kernel],
        recomputed: frozenset[str],
        spilled: frozenset[str],
    ) -> None:
        self._fixed = fixed
        self._kernels = kernels
        self._recomputed = recomputed
        self._spilled = spilled
        self._maker = {n: index for index, k in enumerate(kernels) for n in k.group.outputs}
        self._phases = _phases(kernels, self._maker)
        self._first: dict[str, int] = {}
        self._last_phase: dict[str, int] = {}
        for index, kernel in enumerate(kernels):
            for name in _reads(kernel):
                self._first.setdefault(name, index)
                last = max(self._last_phase.get(name, 0), self._phases[index])
                self._last_phase[name] = last
        self._drafts: dict[tuple[int, int | None], _Draft] = {}
        self._narrowed: dict[tuple[int, tuple[str, ...]], Kernel] = {}

    def program(self) -> Program:
        target = self._fixed.target
        self._want(target, None)
        # Whatever a kernel or its copies read comes from kernels before it.
        order = sorted(self._drafts, key=lambda key: (key[0], -1 if key[1] is None else key[1]))
        calls = [self._call(self._drafts[key], key[1]) for key in order]
        tensor_of = {self._fixed.source: self._fixed.source}
        for call in calls:
            tensor_of.update(zip(call.outputs, call.kernel.group.outputs, strict=True))
        spilled = frozenset(name for name, tensor in tensor_of.items() if tensor in self._spilled)
        return Program(
            self._fixed, tuple(calls), self._fixed.source, target, tensor_of,
            spilled - {target},
        )  # fmt: skip

    def _want(self, name: str, copy: int | None) -> str:
        """Ask for a tensor, of the program itself or of a phase's copies; its buffer."""
        index = self._maker.get(name)
        if index is None:
            return self._fixed.source
        if copy is not None and not self._is_copied(name, index, copy):
            copy = None
        draft = self._drafts.get((index, copy))
        if draft is None:
            draft = self._drafts[index, copy] = _Draft()
        buffer = name if copy is None else f"{name}@{copy}"
        if name not in draft.wanted:
            draft.wanted[name] = buffer
            narrowed = self._kernel(index, draft.wanted)
            for feed in narrowed.group.feeds:
                for part in feed.parts:
                    self._want(part, self._copy_for(part, index, copy))
            for static in narrowed.group.statics:
                self._want(static, None)
        return buffer

    def _copy_for(self, name: str, reader: int, copy: int | None) -> int | None:
        """Which copies a reader takes a tensor from."""
        if copy is not None:
            return copy
        maker = self._maker.get(name)
        if name not in self._recomputed or maker is None:
            return None
        later = self._phases[reader] > self._phases[maker]
        has_others = len(self._kernels[maker].group.outputs) > 1
        late = later or has_others or reader != self._first[name]
        return self._phases[reader] if late else None

    def _is_copied(self, name: str, index: int, copy: int) -> bool:
        """Whether copies have a tensor of their own, or read what is held anyhow."""
        kernel = self._kernels[index]
        if kernel.group.is_whole or name in self._spilled:
            return False
        held = self._last_phase.get(name, 0) > self._phases[index]
        return name in self._recomputed or not held

    def _call(self, draft: _Draft, copy: int | None) -> Call:
        index = self._maker[next(iter(draft.wanted))]
        kernel = self._kernel(index, draft.wanted)
        feeds = tuple(
            tuple(self._want(part, self._copy_for(part, index, copy)) for part in feed.parts)
            for feed in kernel.group.feeds
        )
        outputs = tuple(draft.wanted[name] for name in kernel.group.outputs)
        return Call(kernel, feeds, kernel.group.statics, outputs)

    def _kernel(self, index: int, wanted: Iterable[str]) -> Kernel:
        """A kernel that makes what is wanted; one for all calls that are alike."""
        kernel = self._kernels[index]
        outputs = tuple(name for name in kernel.group.outputs if name in wanted)
        if (index, outputs) not in self._narrowed:
            self._narrowed[index, outputs] = kernel_of(kernel, outputs)
        return self._narrowed[index, outputs]


def _reads(kernel: Kernel) -> list[str]:
    parts = [part for feed in kernel.group.feeds for part in feed.parts]
    return list(dict.fromkeys([*parts, *kernel.group.statics]))


def _phases(kernels: Sequence[Kernel], maker: Mapping[str, int]) -> list[int]:
    """For each kernel how many times a whole axis is waited for before it can run."""
    phases: list[int] = []
    for kernel in kernels:
        before = [0]
        for name in _reads(kernel):
            index = maker.get(name)
            if index is not None:
                before.append(phases[index] + kernels[index].group.is_whole)
        phases.append(max(before))
    return phases
