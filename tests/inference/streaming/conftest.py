"""Streaming a small model, whole passes to hold it against, and tiny networks made of nodes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from volunet.inference.engines.static import open_static
from volunet.inference.engines.torch_graph import TorchGraph
from volunet.inference.streaming.execution import Execution
from volunet.inference.streaming.fixed import FixedGraph, fix_graph
from volunet.inference.streaming.flows import Flows, follow
from volunet.inference.streaming.groups import Group, form_groups
from volunet.inference.streaming.kernels import make_kernel
from volunet.inference.streaming.lowering import lower
from volunet.inference.streaming.program import Program, make_program


class Net:
    """A network while nodes are put behind one another; their shapes are inferred by onnx.

    Attributes:
        x: The tensor behind the last node.
        shape: Its shape.
    """

    def __init__(self, size: Sequence[int], channels: int = 2, opset: int = 21, seed: int = 0):
        self.random = np.random.default_rng(seed)
        self.opset = opset
        self.x = "x"
        self.shapes: dict[str, tuple[int, ...]] = {"x": (1, channels, *size)}
        self.types: dict[str, int] = {"x": TensorProto.FLOAT}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes[self.x]

    def weight(self, array: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = numpy_helper.from_array(np.asarray(array), name)
        return name

    def normal(self, *shape: int, scale: float = 1.0, mean: float = 0.0) -> str:
        return self.weight(self.random.normal(mean, scale, shape).astype(np.float32))

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Put a node behind the last one, or behind those that are named."""
        names = list(inputs) or [self.x]
        output = f"t{len(self.nodes)}"
        node = helper.make_node(op_type, names, [output], f"{op_type}{output}", **attributes)
        read = [name for name in names if name in self.shapes]
        values = [
            helper.make_tensor_value_info(n, self.types[n], self.shapes[n]) for n in set(read)
        ]
        answer = helper.make_empty_tensor_value_info(output)
        inferred = onnx.shape_inference.infer_shapes(
            self._model([node], values, [answer]), strict_mode=True, data_prop=True
        )
        tensor = inferred.graph.output[0].type.tensor_type
        self.shapes[output] = tuple(d.dim_value for d in tensor.shape.dim)
        self.types[output] = tensor.elem_type
        if op_type == "GroupNormalization":  # a function to onnx, which loses its shape
            self.shapes[output], self.types[output] = self.shapes[names[0]], self.types[names[0]]
        if min(self.shapes[output], default=1) < 1:
            raise ValueError(f"{op_type} leaves {self.shapes[output]}")
        self.nodes.append(node)
        self.x = output
        return output

    def conv(self, out: int, kernel: Sequence[int], **attributes: Any) -> str:
        """A convolution with a bias that is not 0, its weights such that values stay near 1."""
        group = attributes.get("group", 1)
        channels = self.shape[1] // group
        scale = (channels * np.prod(kernel)) ** -0.5
        weight = self.normal(out, channels, *kernel, scale=scale)
        return self.add("Conv", self.x, weight, self.normal(out, mean=0.5), **attributes)

    def transposed(self, out: int, kernel: Sequence[int], **attributes: Any) -> str:
        group = attributes.get("group", 1)
        channels = self.shape[1]
        weight = self.normal(channels, out // group, *kernel, scale=channels**-0.5)
        return self.add("ConvTranspose", self.x, weight, self.normal(out, mean=0.5), **attributes)

    def model(self) -> onnx.ModelProto:
        values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shapes["x"])]
        answer = helper.make_tensor_value_info(self.x, self.types[self.x], self.shape)
        return self._model(self.nodes, values, [answer])

    def _model(self, nodes: Any, inputs: Any, outputs: Any) -> onnx.ModelProto:
        read = {name for node in nodes for name in node.input}
        weights = [w for name, w in self.weights.items() if name in read]
        graph = helper.make_graph(nodes, "net", inputs, outputs, weights)
        opset = helper.make_opsetid("", self.opset)
        return helper.make_model(graph, opset_imports=[opset], ir_version=10)


@pytest.fixture(scope="session")
def net() -> type[Net]:
    return Net


@dataclass(frozen=True)
class Built:
    """A program and what it was made of."""

    fixed: FixedGraph
    flows: Flows
    groups: tuple[Group, ...]
    program: Program

    @property
    def axes(self) -> dict[str, int | None]:
        return dict(self.flows.axes)

    @property
    def held(self) -> list[str]:
        """Tensors that may be recomputed or spilled."""
        names = [name for g in self.groups if not g.is_whole for name in g.outputs]
        return [name for name in names if name != self.fixed.target]


Names = Collection[str] | Callable[[list[str]], Collection[str]]
"""Some tensors, or what chooses among those that there are."""


def as_ir(model: Any) -> ir.Model:
    """A model of its file, its bytes or its protobuf."""
    if isinstance(model, Path):
        return ir.load(model)
    if isinstance(model, bytes):
        return ir.from_proto(onnx.load_model_from_string(model))
    return model if isinstance(model, ir.Model) else ir.from_proto(model)


def in_float64(fixed: FixedGraph) -> FixedGraph:
    """The graph with float64 for what it calls float32."""
    double = {ir.DataType.FLOAT: ir.DataType.DOUBLE}
    return replace(fixed, dtypes={n: double.get(t, t) for n, t in fixed.dtypes.items()})


@pytest.fixture(scope="session")
def build() -> Callable[..., Built]:
    """Make the program of a model.

    `chunk` are slices of a run; of several numbers each group in turn takes one.
    """

    def make(
        model: Any,
        size: Sequence[int],
        axis: int,
        chunk: int | Sequence[int] = 2,
        recomputed: Names = (),
        spilled: Names = (),
        dtype: Any = np.float32,
    ) -> Built:
        fixed = lower(fix_graph(as_ir(model), "m.onnx", size), axis)
        flows = follow(fixed, axis)
        groups = form_groups(fixed, flows)
        if dtype == np.float64:
            fixed = in_float64(fixed)
        chunks = [chunk] if isinstance(chunk, int) else list(chunk)
        kernels = [
            make_kernel(
                fixed,
                group,
                flows.axes,
                -(-chunks[i % len(chunks)] // group.granule) * group.granule,
            )
            for i, group in enumerate(groups)
        ]
        built = Built(fixed, flows, groups, make_program(fixed, kernels))
        chosen = [
            frozenset(names(built.held) if callable(names) else names)
            for names in (recomputed, spilled)
        ]
        return replace(built, program=make_program(fixed, kernels, *chosen))

    return make


class TorchStatic:
    """A `TorchGraph` as a static model."""

    def __init__(self, model: ir.Model, dtype: torch.dtype) -> None:
        self._graph = TorchGraph(model, "part", dtype, threads=1)

    def run(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        for output, answer in zip(outputs, self._graph.run(inputs), strict=True):
            assert (output.shape, output.dtype) == (answer.shape, answer.dtype)
            output[...] = answer


class ArraySlabs:
    """A scan in memory."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def read(self, axis: int, start: int, stop: int) -> Any:
        assert 0 <= start < stop <= self._array.shape[axis + 1]
        return self._array[(slice(None),) * (axis + 1) + (slice(start, stop),)]


def _computes_in_float64(model: ir.Model) -> bool:
    """Whether a model has float64 of its own, which OpenVINO on the CPU rounds."""
    casts = [node for node in model.graph if node.op_type == "Cast"]
    return any(node.attributes["to"].as_int() == int(ir.DataType.DOUBLE) for node in casts)


def static_model(model: ir.Model, engine: str, dtype: Any, threads: int = 1) -> Any:
    if engine == "torch":
        return TorchStatic(model, torch.float64 if dtype == np.float64 else torch.float32)
    if engine == "openvino" and _computes_in_float64(model):
        engine = "onnxruntime"
    return open_static(model, engine, threads)


@pytest.fixture(scope="session")
def execute(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Run a program; its answer."""
    folder = tmp_path_factory.mktemp("scratch")

    def run(
        built: Built,
        x: Any,
        engine: str = "onnxruntime",
        dtype: Any = np.float32,
        threads: int = 1,
    ) -> Any:
        fixed, axis = built.program.fixed, built.flows.axes[built.fixed.target]
        out = np.zeros(fixed.shapes[fixed.target], fixed.dtypes[fixed.target].numpy())
        written = 0

        def sink(start: int, part: Any) -> None:
            nonlocal written
            if axis is None:
                assert (start, written, part.shape) == (0, 0, out.shape)
                out[...] = part
                written = 1
                return
            assert start == written
            written += part.shape[axis]
            out[(slice(None),) * axis + (slice(start, written),)] = part

        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            execution = Execution(
                built.program,
                built.axes,
                lambda model: static_model(model, engine, dtype, threads),
                Path(scratch),
            )
            execution.run(ArraySlabs(x[0]), sink)
        assert written == (1 if axis is None else out.shape[axis])
        return out

    return run


@pytest.fixture(scope="session")
def stream(build: Callable[..., Built], execute: Callable[..., Any]) -> Callable[..., Any]:
    """Stream a model along an axis of a scan; its answer."""

    def run(
        model: Any,
        x: Any,
        axis: int,
        chunk: int | Sequence[int] = 2,
        recomputed: Names = (),
        spilled: Names = (),
        engine: str = "onnxruntime",
        dtype: Any = np.float32,
        threads: int = 1,
    ) -> Any:
        built = build(model, x.shape[2:], axis, chunk, recomputed, spilled, dtype)
        return execute(built, x.astype(dtype), engine, dtype, threads)

    return run


@pytest.fixture(scope="session")
def whole() -> Callable[..., Any]:
    """Run a model at once, in ONNX Runtime or, in float64, in PyTorch."""

    def run(model: Any, x: Any, dtype: Any = np.float32) -> Any:
        if dtype == np.float64:
            graph = TorchGraph(as_ir(model), "m.onnx", torch.float64, 1, x.shape[2:])
            return graph.run([x.astype(np.float64)])[0]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        data = ir.to_proto(as_ir(model)).SerializeToString()
        session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: x})[0]

    return run


@pytest.fixture(scope="session")
def scan() -> Callable[..., Any]:
    """Random numbers, the same for one size; their mean is not 0."""

    def make(*size: int, channels: int = 2, seed: int = 0) -> Any:
        numbers = np.random.default_rng(seed).normal(0.3, 1, (1, channels, *size))
        return numbers.astype(np.float32)

    return make
