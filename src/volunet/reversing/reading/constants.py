"""What a file computes from its weights alone: the values of such tensors, by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, Final

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from volunet.errors import ReverseError
from volunet.graph import Network

Array = NDArray[Any]

_FAILURES: Final = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.NotImplemented,
    state.RuntimeException,
)


class Constants:
    """The tensors of a model that no input changes.

    Args:
        model: The model.
        network: Its sizes.
    """

    def __init__(self, model: ir.Model, network: Network) -> None:
        self._model = model
        self._network = network
        self._known: dict[str, Array] = {}
        self._values = {v.name or "": v for node in model.graph for v in node.outputs}

    def value(self, name: str) -> Array:
        """A tensor's values.

        Raises:
            ReverseError: They follow from the input's size, or ONNX Runtime cannot compute them.
        """
        name = self._uncast(name)
        initializer = self._model.graph.initializers.get(name)
        if initializer is not None and initializer.const_value is not None:
            return _plain(initializer.const_value.numpy())
        if name not in self._known:
            self._known[name] = self._computed(name)
        return self._known[name]

    def is_fixed(self, name: str) -> bool:
        """Whether a tensor follows from the weights alone, and not from an input's sizes."""
        name = self._uncast(name)
        if name in self._model.graph.initializers:
            return True
        value = self._values.get(name)
        return value is not None and not any(
            _is_input(read) for node in _nodes_of(value) for read in _read(node)
        )

    def _uncast(self, name: str) -> str:
        """The tensor that a tensor is but for its type, which it takes from another one."""
        value = self._values.get(name)
        producer = None if value is None else value.producer()
        while producer is not None and producer.op_type == "CastLike" and producer.inputs[0]:
            name = producer.inputs[0].name or ""
            producer = producer.inputs[0].producer()
        return name

    def size(self, name: str) -> int:
        """How many elements a tensor has."""
        shape = self._network.tensors[name].shape if name in self._network.tensors else None
        return prod(int(str(size)) for size in shape) if shape is not None else 0

    def _computed(self, name: str) -> Array:
        """Run the nodes that a tensor takes."""
        wanted = self._values.get(name)
        nodes = [] if wanted is None else _nodes_of(wanted)
        if wanted is None or any(_is_input(value) for node in nodes for value in _read(node)):
            raise ReverseError(
                self._network.where,
                f"the tensor '{name}' is made from the sizes of the input",
                "What a network computes with is its input or its weights.",
                "Export it without tensors that are filled by size.",
            )
        weights = {
            value.name: value
            for node in nodes
            for value in _read(node)
            if value is not None and value.is_initializer()
        }
        graph = ir.Graph([], [wanted], nodes=[], initializers=[])
        proto = ir.to_proto(graph)
        proto.node.extend(_as_proto(node) for node in nodes)
        proto.initializer.extend(
            ir.to_proto(ir.tensor(value.const_value.numpy(), name=key))
            for key, value in weights.items()
            if value.const_value is not None
        )
        model = ir.to_proto(ir.Model(ir.Graph([], [], nodes=[]), ir_version=10))
        model.graph.CopyFrom(proto)
        for domain, version in self._model.graph.opset_imports.items():
            model.opset_import.add(domain=domain, version=version)
        try:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), providers=["CPUExecutionProvider"]
            )
            return np.asarray(session.run([name], {})[0])
        except _FAILURES as error:
            raise ReverseError(
                self._network.where,
                f"ONNX Runtime does not compute the tensor '{name}' from the weights: {error}",
                "What a network computes with is its input or its weights.",
                "Export the model again with constants folded.",
            ) from error


def _read(node: ir.Node) -> Sequence[ir.Value | None]:
    """What a node computes with: of a second input that only tells the type, nothing."""
    return node.inputs[:1] if node.op_type == "CastLike" else node.inputs


def _as_proto(node: ir.Node) -> onnx.NodeProto:
    if node.op_type == "CastLike" and node.inputs[0] is not None:
        names = [node.inputs[0].name or ""], [node.outputs[0].name or ""]
        return onnx.helper.make_node("Identity", *names)
    return ir.to_proto(node)


def _is_input(value: ir.Value | None) -> bool:
    """Whether a value comes from outside; old files list their weights among the inputs too."""
    return value is not None and value.is_graph_input() and not value.is_initializer()


def _nodes_of(value: ir.Value) -> list[ir.Node]:
    """The nodes that a value is computed by, in order."""
    order: list[ir.Node] = []
    seen: set[ir.Node] = set()
    stack: list[tuple[ir.Node, bool]] = []
    producer = value.producer()
    if producer is not None:
        stack.append((producer, False))
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
            continue
        if node in seen:
            continue
        seen.add(node)
        stack.append((node, True))
        stack += [(p, False) for p in _producers(_read(node))]
    return order


def _producers(values: Iterable[ir.Value | None]) -> list[ir.Node]:
    found = (None if value is None else value.producer() for value in values)
    return [producer for producer in found if producer is not None]


def _plain(array: Array) -> Array:
    """An array of a type that NumPy knows: bfloat16 as float32."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array
