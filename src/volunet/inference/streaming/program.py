"""`Program`: the calls of a streamed pass, and what becomes of each tensor between them.

A tensor that is read at several times is held in memory from the first to the last, is spilled to
disk, or is computed once more for the later readers. The last is a rewrite of the program: the
later readers get copies of the calls that lead to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from volunet.inference.streaming.fixed import FixedGraph
from volunet.inference.streaming.kernels import Kernel

SOURCE: Final = "source"


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
    spilled: frozenset[str] = frozenset()
    recomputed: tuple[str, ...] = ()
    makers: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        makers = {name: index for index, call in enumerate(self.calls) for name in call.outputs}
        object.__setattr__(self, "makers", makers)

    @property
    def flops(self) -> int:
        """Operations of one pass, what is computed again included."""
        return sum(call.kernel.group.flops for call in self.calls)


def plain_program(fixed: FixedGraph, kernels: Sequence[Kernel]) -> Program:
    """Every tensor computed once and held in memory."""
    calls = tuple(
        Call(
            kernel,
            tuple(feed.parts for feed in kernel.group.feeds),
            kernel.group.statics,
            kernel.group.outputs,
        )
        for kernel in kernels
    )
    names = {fixed.source, *(name for call in calls for name in call.outputs)}
    return Program(fixed, calls, fixed.source, fixed.target, {name: name for name in names})
