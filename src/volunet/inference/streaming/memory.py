"""What the engines hold besides the slices: weights in their own order, and what is in between."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Final

from volunet.inference.streaming.kernels import Kernel
from volunet.inference.streaming.program import Program


@dataclass(frozen=True)
class _EngineMemory:
    """What an engine holds for the sub-models of a program.

    Attributes:
        weight_copies: Bytes a byte of weights.
        base_bytes: Its threads, code and tables.
        model_bytes: For each sub-model.
        window_copies: Copies of the windows and the outputs of the largest call, in its own order.
        keeps_inner: Whether tensors within a sub-model are held between its runs.
    """

    weight_copies: float
    base_bytes: int
    model_bytes: int
    window_copies: float
    keeps_inner: bool


_ENGINES: Final[dict[str, _EngineMemory]] = {
    "openvino": _EngineMemory(3.1, 30_000_000, 1_000_000, 0.0, keeps_inner=True),
    "onnxruntime": _EngineMemory(3.1, 30_000_000, 1_000_000, 1.0, keeps_inner=False),
    "torch": _EngineMemory(2.1, 60_000_000, 100_000, 1.0, keeps_inner=False),
}
"""OpenVINO's as measured (benchmarks/streaming); the others' are bounds, not measured."""

_ELEMENTWISE: Final = frozenset(
    {
        "BatchNormalization", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Erf",
        "Clip", "Add", "Sub", "Mul", "Div", "Max", "Min", "Sqrt", "Pow", "Abs", "Exp", "Log", "Neg",
        "Identity", "Dropout", "Softplus", "HardSigmoid", "HardSwish", "Gelu", "Mish", "Cast",
    }
)  # fmt: skip
"""Operators that engines fuse with what is before them, so that nothing is held in between."""


def engine_bytes(program: Program, engine: str) -> int:
    """Bytes that an engine holds for a program, besides windows and blocks."""
    rules = _ENGINES[engine]
    kernels = list({id(call.kernel): call.kernel for call in program.calls}.values())
    weights = sum(_weights(program, kernel) for kernel in kernels)
    inner = [_inner(program, kernel) for kernel in kernels]
    largest = max(_interface(program, kernel) for kernel in kernels)
    # Statistics are merged on ONNX Runtime (`engines.open_part`).
    merges = engine == "openvino" and any(kernel.group.is_whole for kernel in kernels)
    return int(
        rules.base_bytes
        + (_ENGINES["onnxruntime"].base_bytes if merges else 0)
        + rules.model_bytes * len(kernels)
        + rules.weight_copies * weights
        + (sum(inner) if rules.keeps_inner else max(inner))
        + rules.window_copies * largest
    )


def _weights(program: Program, kernel: Kernel) -> int:
    constants = program.fixed.constants
    names = {
        tensor.name
        for step in kernel.group.steps
        for tensor in step.rule.inputs
        if tensor is not None and not tensor.is_data and tensor.name in constants
    }
    tensors = {
        tensor.name: tensor.num_bytes or 0
        for step in kernel.group.steps
        for tensor in step.rule.inputs
        if tensor is not None and tensor.name in names
    }
    return sum(tensors.values())


def _inner(program: Program, kernel: Kernel) -> int:
    """Bytes of the tensors within a sub-model that no fusing makes away with."""
    group = kernel.group
    if group.is_whole:
        return 0
    made = {name for step in group.steps for name in step.outputs}
    read = {
        tensor.name
        for step in group.steps
        if step.rule.op_type not in _ELEMENTWISE
        for tensor in step.rule.inputs
        if tensor is not None and tensor.name in made
    }
    return sum(_run_bytes(program, kernel, name) for name in read - set(group.outputs))


def _interface(program: Program, kernel: Kernel) -> int:
    """Bytes of the windows and outputs of a call."""
    shapes = zip(kernel.group.feeds, kernel.feed_shapes, strict=True)
    windows = sum(
        prod(shape) * program.fixed.dtypes[feed.tensor].numpy().itemsize for feed, shape in shapes
    )
    outputs = zip(kernel.group.outputs, kernel.output_shapes, strict=True)
    return windows + sum(
        prod(shape) * program.fixed.dtypes[name].numpy().itemsize for name, shape in outputs
    )


def _run_bytes(program: Program, kernel: Kernel, name: str) -> int:
    """Bytes of a tensor for the slices of one run."""
    shape = program.fixed.shapes[name]
    whole = prod(shape) * program.fixed.dtypes[name].numpy().itemsize
    # The streamed axis is the one that has the slices of a run instead of all of them.
    out = kernel.group.outputs[0]
    axis = kernel.axes[0] or 0
    slices = Fraction(kernel.chunk[name]) / program.fixed.shapes[name][axis]
    return int(whole * slices) if len(shape) == len(program.fixed.shapes[out]) else whole
