"""`Network`: a model's graph with the size of every tensor, as numbers or as formulas.

`infer_sizes` walks the graph once and asks each operator's rule. It never stops at a fault: an
operator without a rule or a size that does not fit leaves what depends on it unknown, and all the
rest is still said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import onnx_ir as ir

from volunet.errors import ShapeError
from volunet.graph.node import Node, Requirement
from volunet.graph.operators import OPERATORS
from volunet.graph.sizes import Size, shape_text, symbol
from volunet.graph.tensors import Tensor, constant_tensor

CONTROL_FLOW: Final = ("If", "Loop", "Scan", "SequenceMap")
"""Operators that run a graph within the graph, which none of the rules can follow."""

_DOMAINS: Final = ("", "ai.onnx")


@dataclass(frozen=True)
class Failure:
    """A node that does not work at this size, or at none.

    Attributes:
        node: The node.
        requirement: The two sizes that do not fit; None where its rule says something else.
        found: What is wrong, as a sentence.
    """

    node: Node
    requirement: Requirement | None
    found: str

    def __str__(self) -> str:
        return f"{self.node.op_type} '{self.node.name}': {self.found}"


@dataclass(frozen=True)
class Network:
    """A graph with the sizes of its tensors.

    Attributes:
        where: The file, for messages.
        inputs: The graph's inputs, without weights.
        outputs: The graph's outputs, as far as they are known.
        nodes: All nodes in an order in which they can run.
        tensors: Every tensor by its name, weights included.
        unsupported: Nodes without a rule.
        failures: Nodes that do not fit, in order; what follows them is not known.
    """

    where: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    tensors: dict[str, Tensor]
    unsupported: tuple[Node, ...]
    failures: tuple[Failure, ...]

    @property
    def data_nodes(self) -> tuple[Node, ...]:
        """The nodes that compute with the input's content: not those of sizes and of weights."""
        return tuple(
            node
            for node in self.nodes
            if node.op_type not in OPERATORS or any(tensor.is_data for tensor in node.outputs)
        )

    @property
    def requirements(self) -> Iterator[tuple[Node, Requirement]]:
        """What sizes must fulfil, with the node that needs it."""
        return ((node, rule) for node in self.nodes for rule in node.requirements)


def infer_sizes(
    model: ir.Model,
    where: str,
    size: Sequence[int] | None = None,
    others: Mapping[str, int] | None = None,
) -> Network:
    """Find the size of every tensor.

    Args:
        model: A model whose nodes are in order (`volunet.graph.read_onnx`).
        where: The file, for messages.
        size: Spatial sizes of the first input, one an axis behind batch and channels, or the sizes
            of all its axes. Inputs of as many axes take them too, where the file leaves them open.
            None: the open axes stay open, as symbols.
        others: With a size, numbers for the other open axes by their symbols; 1 by default.

    Raises:
        ShapeError: The size contradicts one that is fixed in the first input.
    """
    graph = model.graph
    opset = next((graph.opset_imports[d] for d in _DOMAINS if d in graph.opset_imports), 1)
    tensors: dict[str, Tensor] = {}
    for name, value in graph.initializers.items():
        if value.const_value is not None:
            tensors[name] = constant_tensor(name, value.const_value)
    names = _Symbols()
    inputs: list[Tensor] = []
    for index, value in enumerate(v for v in graph.inputs if v.name not in tensors):
        tensor = _input(value, names.of(value, index, where))
        if size is not None:
            rank = len((inputs[0] if inputs else tensor).shape or ())
            tensor = _at_size(tensor, size, others or {}, where, rank, is_first=not inputs)
        inputs.append(tensor)
        tensors[tensor.name] = tensor
    nodes: list[Node] = []
    unsupported: list[Node] = []
    failures: list[Failure] = []
    for index, node in enumerate(graph):
        known = _node(node, index, opset, tensors)
        nodes.append(known)
        if known.op_type not in OPERATORS:
            unsupported.append(known)
            is_data = any(tensor.is_data for tensor in known.inputs if tensor is not None)
            known.outputs = tuple(_declared(value, is_data=is_data) for value in node.outputs)
        else:
            failure = _infer(known)
            if failure is not None:
                failures.append(failure)
        tensors.update((tensor.name, tensor) for tensor in known.outputs)
    outputs = tuple(tensors[v.name] for v in graph.outputs if v.name in tensors)
    return Network(
        where, tuple(inputs), outputs, tuple(nodes), tensors, tuple(unsupported), tuple(failures)
    )


def _infer(node: Node) -> Failure | None:
    """Infer a node's outputs, or leave them unknown."""
    unknown = tuple(Tensor(name, ir.DataType.UNDEFINED, None) for name in node.output_names)
    if any(tensor is not None and tensor.shape is None for tensor in node.inputs):
        node.outputs = unknown
        return None
    try:
        node.outputs = OPERATORS[node.op_type].infer(node)
    except ShapeError as error:
        node.outputs = unknown
        return Failure(node, None, f"{error.found}. {error.expected}")
    for tensor in node.outputs:
        for axis, size in enumerate((tensor.shape or ()) if tensor.is_data else ()):
            node.require(">=", size, 1, f"axis {axis} of its output")
    broken = next((rule for rule in node.requirements if rule.holds is False), None)
    if broken is None:
        return None
    node.outputs = unknown
    return Failure(node, broken, str(broken))


def _node(node: ir.Node, index: int, opset: int, tensors: dict[str, Tensor]) -> Node:
    return Node(
        # An operator of another domain is another operator, whatever it is called.
        op_type=node.op_type if node.domain in _DOMAINS else f"{node.domain}.{node.op_type}",
        name=node.name or f"{node.op_type}_{index}",
        opset=opset,
        attributes={name: _plain(attribute) for name, attribute in node.attributes.items()},
        inputs=tuple(
            None if value is None else tensors.get(value.name or "", _unknown(value.name or ""))
            for value in node.inputs
        ),
        output_names=tuple(value.name or "" for value in node.outputs),
    )


def _plain(attribute: ir.Attr) -> Any:
    value = attribute.value
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _unknown(name: str) -> Tensor:
    return Tensor(name, ir.DataType.UNDEFINED, None)


def _declared(value: ir.Value, *, is_data: bool) -> Tensor:
    """What the file says of a tensor whose operator has no rule, where it is numbers."""
    sizes = [size for size in value.shape or () if isinstance(size, int)]
    complete = value.shape is not None and len(sizes) == len(value.shape)
    dtype = value.dtype or ir.DataType.UNDEFINED
    shape = tuple(sizes) if complete else None
    return Tensor(value.name or "", dtype, shape, is_data=is_data)


def _input(value: ir.Value, shape: Sequence[Size]) -> Tensor:
    return Tensor(value.name or "", value.dtype or ir.DataType.FLOAT, tuple(shape))


def _at_size(
    tensor: Tensor,
    size: Sequence[int],
    others: Mapping[str, int],
    where: str,
    rank: int,
    *,
    is_first: bool,
) -> Tensor:
    """An input whose open axes are numbers: the size's, or those of the other axes.

    The size is of the last axes of inputs of `rank` axes, which is the first input's.
    """
    shape = tensor.shape or ()
    numbers: list[Size] = []
    for axis, own in enumerate(shape):
        place = axis - (rank - len(size))
        given = size[place] if len(shape) == rank and place >= 0 else None
        if isinstance(own, int):
            if is_first and given not in (None, own):
                raise ShapeError(
                    where,
                    f"input '{tensor.name}' is {shape_text(shape)}, fixed at {own} on axis {axis}; "
                    f"asked for {given}",
                    "A size that is fixed in the file cannot be another.",
                    "Leave --size out, or export the model with dynamic axes.",
                )
            numbers.append(own)
        else:
            numbers.append(others.get(str(own), 1) if given is None else given)
    return replace(tensor, shape=tuple(numbers))


_LETTERS: Final = {1: "l", 2: "hw", 3: "dhw"}


class _Symbols:
    """A symbol for each open axis: by its letter, or by the file's name where letters run out.

    Axes of one name in one input are still their own: files that call three axes by one name are
    common and mean no more than that all three are open. The same axis under the same name in
    another input is the same symbol.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Size] = {}

    def of(self, value: ir.Value, index: int, where: str) -> list[Size]:
        """A size for every axis of an input; fixed ones as they are."""
        shape = value.shape
        if shape is None:
            raise ShapeError(
                where,
                f"input '{value.name}' has no shape, not even a number of axes",
                "Every size follows from the input's shape.",
                "Export the model with the shapes of its inputs, axes of any size by a name.",
            )
        letters = "nc" + _LETTERS.get(len(shape) - 2, "")
        sizes: list[Size] = []
        for axis, dimension in enumerate(shape):
            if isinstance(dimension, int):
                sizes.append(dimension)
                continue
            key = (dimension.value or f"{value.name}.{axis}", axis)
            if key not in self._known:
                letter = letters[axis] if axis < len(letters) else f"s{axis}"
                used = {str(size) for size in self._known.values()}
                name = letter if letter not in used else f"{letter}{index + 1}"
                self._known[key] = symbol(name)
            sizes.append(self._known[key])
        return sizes
