"""`FixedGraph`: a model at one size, with nothing left in it but data and constants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from volunet.errors import ShapeError
from volunet.graph.network import Network, infer_sizes
from volunet.graph.node import Node
from volunet.graph.tensors import Value

Array = NDArray[Any]


@dataclass(frozen=True)
class Step:
    """One node that computes with data.

    Attributes:
        node: The node of the file.
        rule: What its operator's rules read, with the sizes of its inputs and outputs.
    """

    node: ir.Node
    rule: Node

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of its outputs."""
        return self.rule.output_names


@dataclass(frozen=True)
class FixedGraph:
    """A model at one size.

    Attributes:
        where: The file, for messages.
        opset: Version of the operator set.
        source: Name of the input.
        target: Name of the first output.
        steps: The nodes that lead from one to the other, in an order in which they can run.
        constants: Every other tensor that they read; weights are read when asked for.
        shapes: Shape of every tensor of data.
        dtypes: Element type of every tensor of data.
    """

    where: str
    opset: int
    source: str
    target: str
    steps: tuple[Step, ...]
    constants: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, ir.DataType]

    def model_of(
        self,
        nodes: Sequence[ir.Node],
        inputs: Sequence[ir.Value],
        outputs: Sequence[ir.Value],
        constants: Mapping[str, Array],
    ) -> ir.Model:
        """A model of some nodes, with the constants that they read as its weights."""
        weights = [
            ir.Value(name=name, const_value=ir.tensor(array, name=name))
            for name, array in constants.items()
        ]
        return _model(nodes, inputs, outputs, weights, self.opset)


def fix_graph(model: ir.Model, where: str, size: Sequence[int]) -> FixedGraph:
    """Fix a model's input at a size and compute all that does not depend on what is in it.

    Args:
        model: A model with one input of data.
        where: The file, for messages.
        size: Spatial size of its input.

    Raises:
        ShapeError: A node has no rule, or does not work at this size, or there are several inputs.
    """
    network = infer_sizes(model, where, size)
    _check(network)
    steps = _leading_to(network.outputs[0].name, _steps(model, network))
    data = [t for t in network.tensors.values() if t.is_data and t.shape is not None]
    return FixedGraph(
        where,
        network.nodes[0].opset,
        network.inputs[0].name,
        network.outputs[0].name,
        steps,
        _Constants(model, network),
        {t.name: tuple(size for size in t.shape or () if isinstance(size, int)) for t in data},
        {t.name: t.dtype for t in data},
    )


def rebuilt(fixed: FixedGraph, nodes: Sequence[ir.Node], added: Mapping[str, Array]) -> FixedGraph:
    """The graph with other nodes, joined by the names of their inputs and outputs.

    Args:
        fixed: The graph that they come from.
        nodes: All nodes, in an order in which they can run.
        added: Constants that they read besides the graph's.
    """
    read = [v.name for node in nodes for v in node.inputs if v is not None and v.name]
    constants = {**constant_values(fixed.constants, read), **added}
    source = value_of(fixed.source, fixed.shapes[fixed.source], fixed.dtypes[fixed.source])
    target = value_of(fixed.target, fixed.shapes[fixed.target], fixed.dtypes[fixed.target])
    model = fixed.model_of(nodes, [source], [target], constants)
    return fix_graph(model, fixed.where, fixed.shapes[fixed.source][2:])


def constant_values(constants: Mapping[str, Array], names: Iterable[str]) -> dict[str, Array]:
    """The constants among some names."""
    return {name: constants[name] for name in dict.fromkeys(names) if name in constants}


def value_of(name: str, shape: Sequence[int], dtype: ir.DataType) -> ir.Value:
    """A value of a model that has a shape and a type."""
    return ir.Value(name=name, shape=ir.Shape(list(shape)), type=ir.TensorType(dtype))


def copy_of(
    node: ir.Node,
    attributes: Iterable[ir.Attr] | None = None,
    names: Mapping[str, str] | None = None,
) -> ir.Node:
    """A node of its own, outside of any graph, whose inputs are known by their names only.

    Args:
        node: The node.
        attributes: Its attributes; None leaves them.
        names: Other names for some of its inputs.
    """
    renamed = names or {}
    return ir.Node(
        node.domain,
        node.op_type,
        [
            None if value is None else ir.Value(name=renamed.get(value.name or "", value.name))
            for value in node.inputs
        ],
        list(node.attributes.values()) if attributes is None else list(attributes),
        outputs=[ir.Value(name=value.name) for value in node.outputs],
        name=node.name,
    )


def _check(network: Network) -> None:
    if len(network.inputs) != 1:
        raise ShapeError(
            network.where,
            f"{len(network.inputs)} inputs: {', '.join(t.name for t in network.inputs)}",
            "A model that is streamed has one input, the scan.",
            "Export the network with one input.",
        )
    data = [node for node in network.unsupported if node in network.data_nodes]
    if data:
        raise ShapeError(
            network.where,
            f"operator {data[0].op_type} ('{data[0].name}'), which volunet has no rule for",
            "How its slices depend on one another must be known.",
            "See docs/operators.md for the operators that have rules.",
        )
    if network.failures:
        raise ShapeError(
            network.where,
            str(network.failures[0]),
            "The network works at the scan's size.",
            "volunet inspect says at which sizes it does.",
        )


def _steps(model: ir.Model, network: Network) -> list[Step]:
    nodes = zip(model.graph, network.nodes, strict=True)
    is_data = {id(node) for node in network.data_nodes}
    return [Step(node, rule) for node, rule in nodes if id(rule) in is_data]


def _leading_to(target: str, steps: Sequence[Step]) -> tuple[Step, ...]:
    wanted = {target}
    kept: list[Step] = []
    for step in reversed(steps):
        if wanted.intersection(step.outputs):
            kept.append(step)
            wanted.update(t.name for t in step.rule.inputs if t is not None)
    return tuple(reversed(kept))


class _Constants(Mapping[str, Array]):
    """Weights, and what a graph computes from weights and sizes; computed when asked for."""

    def __init__(self, model: ir.Model, network: Network) -> None:
        self._weights = model.graph.initializers
        self._tensors = {n: t for n, t in network.tensors.items() if not t.is_data}
        self._makers = {value.name: node for node in model.graph for value in node.outputs}
        self._known: dict[str, Array] = {}
        self._opset = network.nodes[0].opset

    def __getitem__(self, name: str) -> Array:
        if name not in self._tensors:
            raise KeyError(name)
        if name not in self._known:  # a weight too is copied out of the file once, not each time
            weight = self._weights.get(name)
            content = None if weight is None else weight.const_value
            self._known[name] = self._computed(name) if content is None else content.numpy()
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tensors  # without computing it

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def _computed(self, name: str) -> Array:
        tensor = self._tensors[name]
        shape = tuple(size for size in tensor.shape or () if isinstance(size, int))
        if tensor.values is not None and len(shape) == len(tensor.shape or ()):
            values = [v if isinstance(v, int) else float(_number(v)) for v in tensor.values]
            return np.array(values, dtype=tensor.dtype.numpy()).reshape(shape)
        node = self._makers[name]
        inputs = {v.name: self[v.name] for v in node.inputs if v is not None and v.name is not None}
        given = [
            value_of(key, array.shape, ir.DataType.from_numpy(array.dtype))
            for key, array in inputs.items()
        ]
        names = [value.name for value in node.outputs if value.name]
        wanted = [
            ir.Value(name=made, type=ir.TensorType(self._tensors[made].dtype)) for made in names
        ]
        model = _model([copy_of(node)], given, wanted, [], self._opset)
        answers = ReferenceEvaluator(ir.to_proto(model)).run(None, inputs)
        self._known.update((made, np.asarray(a)) for made, a in zip(names, answers, strict=True))
        return self._known[name]


def _number(value: Value) -> Fraction:
    if isinstance(value, Fraction | int):
        return Fraction(value)
    raise TypeError(f"{value} is not known at a size")  # sizes are numbers here


def _model(
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    weights: Sequence[ir.Value],
    opset: int,
) -> ir.Model:
    """A model of nodes that are joined by the names of their inputs and outputs."""
    known = {value.name: value for value in (*inputs, *weights)}
    made = []
    wanted = {value.name: value for value in outputs}
    for node in nodes:
        results = []
        for value in node.outputs:
            own = wanted.get(value.name) or ir.Value(name=value.name)
            known[value.name] = own
            results.append(own)
        made.append(
            ir.Node(
                node.domain,
                node.op_type,
                [None if v is None or not v.name else known[v.name] for v in node.inputs],
                list(node.attributes.values()),
                outputs=results,
                name=node.name,
            )
        )
    graph = ir.Graph(
        list(inputs), [known[v.name] for v in outputs], nodes=made, initializers=list(weights),
        opset_imports={"": opset}, name="streamed",
    )  # fmt: skip
    return ir.Model(graph, ir_version=10)
