"""The nodes of a graph as PyTorch's modules and calls, what `TorchGraph` runs one by one.

A node's PyTorch is its operator's `Source`. What no input changes is computed here, once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from volunet.errors import EngineError
from volunet.graph.network import Network
from volunet.graph.node import Node
from volunet.graph.operators import OPERATORS, Source
from volunet.graph.sizes import Expression
from volunet.graph.tensors import Tensor as Known

OTHERS: Final = "Use --engine openvino or --engine onnxruntime."
"""What to do about a graph that is not for PyTorch."""


@dataclass
class Step:
    """One node, ready to run.

    Attributes:
        node: The node.
        compute: Its call, of the module and of the tensors that it reads.
        module: The module with its weights; None where a function computes the node.
        reads: Names of the tensors that the call takes.
        writes: Name and type of each output; None for one that nothing reads.
        releases: Tensors that nothing reads behind it.
    """

    node: Node
    compute: Callable[..., Any]
    module: nn.Module | None
    reads: tuple[str, ...]
    writes: tuple[tuple[str, torch.dtype] | None, ...]
    releases: tuple[str, ...] = ()

    def run(self, tensors: dict[str, Tensor]) -> None:
        """Compute the outputs, and let go of what is not read again."""
        answer = self.compute(self.module, *(tensors[name] for name in self.reads))
        answers = answer if isinstance(answer, tuple | list) else (answer,)
        for write, tensor in zip(self.writes, answers, strict=False):
            if write is not None:
                name, dtype = write
                tensors[name] = tensor.to(dtype)  # a cast is only this
        for name in self.releases:
            del tensors[name]


class StepBuilder:
    """Makes steps of the nodes that the answers need, and constants of what no input changes."""

    def __init__(self, network: Network, model: ir.Model, dtype: torch.dtype) -> None:
        self._network = network
        self._weights = model.graph.initializers
        self._dtype = dtype
        self._producers = {n: node for node in network.nodes for n in node.output_names if n}
        self._constants: dict[str, Tensor] = {}

    def steps(self, answers: Sequence[str]) -> list[Step]:
        """The nodes that the answers need, in order, each with what it is the last to read."""
        tensors = self._network.tensors
        wanted = set(answers)
        steps: list[Step] = []
        for node in reversed(self._network.nodes):
            made = [name for name in node.output_names if name in wanted and tensors[name].is_data]
            if not made:
                continue
            step = self._step(node, wanted)
            read = {name for name in step.reads if tensors[name].is_data}
            # Walking backwards, what was not wanted so far is read here for the last time.
            step.releases = tuple(sorted(read - wanted))
            wanted |= read
            steps.append(step)
        return steps[::-1]

    def constants_of(self, steps: Sequence[Step], answers: Sequence[str]) -> dict[str, Tensor]:
        """What the steps and the answers take that is no data."""
        names = {name for step in steps for name in step.reads} | set(answers)
        return {n: self._constant(n) for n in names if not self._network.tensors[n].is_data}

    def dtype_of(self, tensor: Known) -> torch.dtype:
        """The type that a tensor is computed in."""
        dtype = self._dtype if tensor.dtype in _SHORT else _DTYPES.get(tensor.dtype)
        if dtype is None:
            raise EngineError(
                self._network.where,
                f"tensor '{tensor.name}' is of type {tensor.dtype.name}",
                "PyTorch computes with floating-point and whole numbers.",
                OTHERS,
            )
        return dtype

    def _step(self, node: Node, wanted: set[str]) -> Step:
        source = self._source(node, wanted)
        compute, places = _compiled(source.call)
        reads = tuple(node.input(place).name for place in places)
        writes = tuple(
            (tensor.name, self.dtype_of(tensor)) if tensor.name in wanted else None
            for tensor in node.outputs
        )
        return Step(node, compute, self._module(node, source), reads, writes)

    def _source(self, node: Node, wanted: set[str]) -> Source:
        """A node's PyTorch.

        Raises:
            EngineError: It has none.
        """
        if node.op_type in ("Cast", "CastLike"):
            return Source("{0}")  # the step's own type does it
        rules = OPERATORS.get(node.op_type)
        source = None if rules is None else rules.source(node)
        # Of places of a maximum and of masks and statistics, PyTorch's calls answer nothing.
        later = [] if node.op_type == "Split" else node.output_names[1:]
        unanswered = next((name for name in later if name in wanted), None)
        if source is not None and unanswered is None:
            return source
        found = f"{node} has no PyTorch that computes the same"
        if source is not None:
            found = f"{node} has another output, '{unanswered}', that PyTorch does not answer"
        raise EngineError(
            self._network.where, found, "Each operator is run by a PyTorch module or call.", OTHERS
        )

    def _module(self, node: Node, source: Source) -> nn.Module | None:
        """A node's module with its weights."""
        if source.module is None:
            return None
        with torch.device("meta"):  # no memory and no random numbers for weights that are replaced
            module: nn.Module = _evaluated(source.module)
        weights = {}
        for name, index in source.weights.items():
            tensor = node.input(index)
            if tensor.is_data:
                raise EngineError(
                    self._network.where,
                    f"{node} has weights that are computed from the input ('{tensor.name}')",
                    "Weights of a module are constants.",
                    OTHERS,
                )
            weight = self._constant(tensor.name)
            if name in source.transposed:
                weight = weight.transpose(0, 1)
            if isinstance(module, nn.PReLU):
                weight = weight.flatten()  # ONNX writes a slope a channel as (C, 1, 1, 1)
            weights[name] = weight
        # Not strict: a batch norm's count of batches stays without a value, which nothing reads.
        module.load_state_dict(weights, strict=False, assign=True)
        return module.eval().requires_grad_(False)

    def _constant(self, name: str) -> Tensor:
        """A tensor that no input changes."""
        if name not in self._constants:
            known = self._network.tensors[name]
            self._constants[name] = self._made(known).to(self.dtype_of(known))
        return self._constants[name]

    def _made(self, known: Known) -> Tensor:
        if known.name in self._weights:
            content = self._weights[known.name].const_value
            if content is None:
                raise EngineError(
                    self._network.where,
                    f"initializer {known.name} has no value",
                    "Every weight of a model file is in the file.",
                    "Export the model again, as one file.",
                )
            return as_tensor(content.numpy())
        values = known.values
        if values is not None and not any(isinstance(value, Expression) for value in values):
            number = float if known.dtype.is_floating_point() else int
            return torch.tensor(
                [number(value) for value in values],  # type: ignore[arg-type]
                dtype=self.dtype_of(known),
            ).reshape(numbers_of(known))
        node = self._producers[known.name]
        value = node.attributes.get("value") if node.op_type == "Constant" else None
        if isinstance(value, ir.TensorProtocol):
            return as_tensor(value.numpy())
        step = self._step(node, {known.name})
        tensors = {read: self._constant(read) for read in step.reads}
        step.run(tensors)
        return tensors[known.name]


_SHORT: Final = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
"""Types that are computed in the graph's own, never in a shorter one: CPUs have few kernels."""

_DTYPES: Final[dict[ir.DataType, torch.dtype]] = {
    ir.DataType.DOUBLE: torch.float64,
    ir.DataType.BOOL: torch.bool,
    ir.DataType.UINT8: torch.uint8,
    ir.DataType.INT8: torch.int8,
    ir.DataType.INT16: torch.int16,
    ir.DataType.INT32: torch.int32,
    ir.DataType.INT64: torch.int64,
}

_PLACE: Final = re.compile(r"\{(\d+)\}")


def _compiled(call: str) -> tuple[Callable[..., Any], list[int]]:
    """A source's call as a function of the module and of some inputs, and which inputs."""
    places = sorted({int(place) for place in _PLACE.findall(call)})
    text = _PLACE.sub(r"x\1", call).replace("{module}", "module")
    parameters = ", ".join(["module", *(f"x{place}" for place in places)])
    return _evaluated(f"lambda {parameters}: {text}"), places


def _evaluated(text: str) -> Any:
    """What a text of the operators' rules stands for.

    The texts are written by `Operator.source`, of its own words and of numbers. No text of a file
    is in them, neither an attribute's nor a name; tensors are x0, x1 … here. Nothing but PyTorch
    can be reached, not even Python's own functions; ``inf`` and ``nan`` are how it writes numbers.
    """
    scope = {"torch": torch, "nn": nn, "F": functional, "inf": math.inf, "nan": math.nan}
    return eval(text, scope | {"__builtins__": {}})  # noqa: S307  see above


def numbers_of(tensor: Known) -> tuple[int, ...]:
    """A tensor's sizes, which are numbers."""
    return tuple(size for size in tensor.shape or () if isinstance(size, int))


def as_tensor(array: NDArray[Any]) -> Tensor:
    """An array as a tensor, in the same memory where PyTorch can have it."""
    array = np.asarray(array)
    if array.dtype.kind == "V":  # bfloat16, which NumPy knows as a foreign type
        array = array.astype(np.float32)
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    return torch.from_numpy(array)
