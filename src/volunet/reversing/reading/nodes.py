"""A graph as a list of layers: what `volunet.graph`'s operators say of each node in PyTorch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Final

import numpy as np
import onnx_ir as ir

from volunet.errors import ReverseError
from volunet.graph import Network
from volunet.graph.node import Node
from volunet.graph.operators import OPERATORS, Source
from volunet.graph.operators.batch_normalization import in_training
from volunet.graph.sizes import Expression
from volunet.graph.tensors import Shape
from volunet.reversing.reading.constants import Constants
from volunet.reversing.reading.layers import PLACE, Layer, LayerForm, Weight, form_of
from volunet.reversing.reading.sizes_text import Known, write_sizes

_MOST_NEARBY: Final = 40
"""Tensors whose shapes are tried for a size, the latest first."""


@dataclass(frozen=True)
class Reading:
    """A network as layers.

    Attributes:
        layers: The layers, in an order in which they can run.
        inputs: The inputs' tensors.
        outputs: The outputs' tensors.
        shapes: Sizes of all tensors.
        train_mode: Whether batch norms use their batch's statistics.
        gaps: Nodes that no layer computes.
    """

    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: Mapping[str, Shape | None]
    train_mode: bool
    gaps: tuple[str, ...]


def read_layers(
    network: Network, model: ir.Model, constants: Constants, *, partial: bool = False
) -> Reading:
    """Read a graph's layers.

    Args:
        network: The graph with its sizes, open axes as symbols.
        model: The model.
        constants: Its weights.
        partial: Leave gaps where operators are not known, instead of an error.

    Raises:
        ReverseError: Operators are not known, or a size does not follow from any shape.
    """
    reader = _Reader(network, constants, partial=partial)
    for node in network.nodes:
        if any(tensor.is_data for tensor in node.outputs) or node.op_type not in OPERATORS:
            reader.read(node)
    if reader.gaps and not partial:
        behind = f"; behind them {len(reader.behind)} of unknown sizes" if reader.behind else ""
        raise ReverseError(
            network.where,
            f"no PyTorch for {_listed(reader.unknown)}{behind}",
            "Operators and their settings are those of docs/operators.md.",
            "Add --partial for the rest of the network, with gaps that raise.",
        )
    outputs = tuple(reader.value(name.name or "") for name in model.graph.outputs)
    _check_made(reader.layers, network, outputs)
    return Reading(
        tuple(reader.layers),
        tuple(tensor.name for tensor in network.inputs),
        outputs,
        {name: tensor.shape for name, tensor in network.tensors.items()},
        any(node.op_type == "BatchNormalization" and in_training(node) for node in network.nodes),
        tuple(f"gap {number}: {text}" for number, text in enumerate(reader.gaps, 1)),
    )


def _check_made(layers: Sequence[Layer], network: Network, outputs: Sequence[str]) -> None:
    """Check that every tensor that is read is made.

    Raises:
        ReverseError: One is not: a second answer of an operator that PyTorch's call does not give,
            or an output that does not depend on the input.
    """
    made = {layer.output for layer in layers} | {tensor.name for tensor in network.inputs}
    read = [*(name for layer in layers for name in layer.inputs), *outputs]
    missing = next((name for name in read if name not in made), None)
    if missing is not None:
        raise ReverseError(
            network.where,
            f"tensor '{_printable(missing)}' is no layer's answer",
            "What is read is made from the input, by an operator's first output.",
            "Export the network without it: places of a maximum, or an output of weights alone.",
        )


def _listed(nodes: Sequence[str]) -> str:
    return f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}: {'; '.join(nodes)}"


class _Reader:
    def __init__(self, network: Network, constants: Constants, *, partial: bool) -> None:
        self._network = network
        self._constants = constants
        self._partial = partial
        self._same: dict[str, str] = {}
        self._siblings = _siblings(network)
        self.layers: list[Layer] = []
        self.unknown: list[str] = []
        self.behind: list[str] = []
        self.gaps: list[str] = []

    def value(self, name: str) -> str:
        """The tensor that a tensor is the same as, where nodes only pass it on."""
        return self._same.get(name, name)

    def read(self, node: Node) -> None:
        """Add a node's layers."""
        if node.op_type in ("Cast", "CastLike") and _keeps_type(node):
            self._same[node.output_names[0]] = self.value(node.input(0).name)
            return
        if node.op_type == "Dropout" and _drops(node):
            form, slots = form_of(Source("{module}({0})", f"nn.Dropout({_ratio(node)})"))
            read = (self.value(node.input(0).name),)
            shape = node.outputs[0].shape
            self.layers.append(Layer(form, slots, read, node.output_names[0], shape))
            return
        if node.op_type == "BatchNormalization":
            # In a file of training mode too it is a module; which mode is the network's to say.
            fixed = {**node.attributes, "training_mode": 0}
            node = replace(node, attributes=fixed, output_names=node.output_names[:1])
        rules = OPERATORS.get(node.op_type)
        # Sizes that are not known leave nothing to say of the node.
        known = all(tensor is None or tensor.shape is not None for tensor in node.inputs)
        source = rules.source(node) if rules is not None and known and node.outputs else None
        if source is not None and any(tensor.shape is None for tensor in node.outputs):
            source = None
        written = None if source is None else self._written(node, source)
        if written is None:
            self._gap(node)
            return
        source, names = written
        if source.call == "{0}":
            self._same[node.output_names[0]] = names[0]
            return
        if node.op_type == "Split":
            self._add(node, source, names, f"{node.output_names[0]}*")
            for index, name in enumerate(node.output_names):
                if name:
                    form, slots = form_of(Source(f"{{0}}[{index}]"))
                    shape = self._network.tensors[name].shape
                    self.layers.append(
                        Layer(form, slots, (f"{node.output_names[0]}*",), name, shape)
                    )
            return
        self._add(node, source, names, node.output_names[0])

    def _add(self, node: Node, source: Source, names: tuple[str, ...], output: str) -> None:
        call, inputs, weights = source.call, [], {}
        parameters: list[int] = []
        places = sorted({int(place) for place in PLACE.findall(call)})
        numbering: dict[int, str] = {}
        for place in places:
            tensor = self._network.tensors.get(names[place])
            if tensor is None or tensor.is_data or self._is_made(names[place]):
                if names[place] not in inputs:
                    inputs.append(names[place])
                numbering[place] = f"{{{inputs.index(names[place])}}}"
                continue
            value = self._constants.value(names[place])
            if value.size == 1 and value.ndim <= 1:
                numbering[place] = _number_text(value)
            else:
                numbering[place] = "{module}"
                parameters.append(place)
        call = _with_numbers(call, numbering)
        module = source.module
        if parameters:
            if module is not None or len(parameters) > 1:
                self._gap(node)
                return
            shape = self._network.tensors[names[parameters[0]]].shape or ()
            module = f"nn.Parameter({tuple(int(str(size)) for size in shape)})"
            weights[""] = Weight(names[parameters[0]])
        for parameter, index in source.weights.items():
            weight_shape = None
            if module is not None and module.startswith("nn.PReLU"):
                weight_shape = (prod(int(str(s)) for s in node.shape(index)),)
            weights[parameter] = Weight(
                node.input(index).name, parameter in source.transposed, weight_shape
            )
        form, slots = form_of(replace(source, call=call, module=module))
        form = replace(form, weights=tuple(weights))
        rules = OPERATORS[node.op_type]
        self.layers.append(
            Layer(
                form,
                slots,
                tuple(inputs),
                output,
                node.outputs[0].shape,
                weights,
                f"{node.op_type} '{node.name}'",
                rules.role_in(node),
            )
        )

    def _is_made(self, name: str) -> bool:
        """Whether a tensor is made from sizes, in layers of its own, which are then added."""
        if any(layer.output == name for layer in self.layers):
            return True
        if self._constants.is_fixed(name):
            return False
        producer = next((n for n in self._network.nodes if name in n.output_names), None)
        if producer is not None:
            self.read(producer)
        return True

    def _written(self, node: Node, source: Source) -> tuple[Source, tuple[str, ...]] | None:
        """A source without formulas, and the tensors that its places stand for."""
        names = tuple("" if t is None else self.value(t.name) for t in node.inputs)
        if any(node.input(index).is_data for index in source.weights.values() if node.has(index)):
            return None
        if not source.sizes:
            return source, names
        found = write_sizes(source.call, source.sizes, names, self._nearby(node))
        if found is None:
            return None
        call, more = found
        return replace(source, call=call, sizes=()), (*names, *more)

    def _nearby(self, node: Node) -> list[Known]:
        """Tensors whose shapes a node may ask for, the likeliest first."""
        tensors = self._network.tensors
        own = [t.name for t in node.inputs if t is not None and t.is_data]
        beside = self._siblings.get(node.output_names[0], [])
        made = {layer.output for layer in self.layers}
        inputs = [tensor.name for tensor in self._network.inputs]
        latest = [layer.output for layer in reversed(self.layers[-_MOST_NEARBY:])]
        names = [self.value(name) for name in (*own, *beside, *inputs, *latest)]
        usable = [n for n in dict.fromkeys(names) if n in made or n in inputs]
        known = []
        for name in usable:
            shape = tensors[name].shape if name in tensors else None
            if shape is not None:
                known.append(Known(name, shape))
        return known

    def _gap(self, node: Node) -> None:
        """Note a node that cannot be written, and stand a call that raises in its place."""
        known = all(tensor is None or tensor.shape is not None for tensor in node.inputs)
        kind = self.unknown if known or node.op_type not in OPERATORS else self.behind
        told = _printable(f"{node.op_type} '{node.name}'")
        kind.append(told)
        self.gaps.append(told)
        if not self._partial:
            return
        names = [self.value(t.name) for t in node.inputs if t is not None and t.is_data]
        places = ", ".join(f"{{{index}}}" for index in range(len(names)))
        gap = len(self.gaps)
        form = LayerForm(
            "", (), f'missing("gap {gap}", {places})' if names else f'missing("gap {gap}")'
        )
        for output in node.output_names:
            if output:
                shape = self._network.tensors[output].shape if node.outputs else None
                self.layers.append(Layer(form, (), tuple(names), output, shape, {}, str(node)))


def _printable(text: str) -> str:
    """A text without signs that steer a terminal or begin another line."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _siblings(network: Network) -> dict[str, list[str]]:
    """For each tensor, those that it meets: the other inputs of what reads it, or what follows."""
    readers: dict[str, list[Node]] = {}
    for node in network.data_nodes:
        for tensor in node.inputs:
            if tensor is not None:
                readers.setdefault(tensor.name, []).append(node)
    met: dict[str, list[str]] = {}
    for node in network.data_nodes:
        for name in node.output_names:
            current, others = name, []
            for _ in range(4):
                following = readers.get(current, [])
                if len(following) != 1:
                    break
                others = [
                    t.name
                    for t in following[0].inputs
                    if t is not None and t.is_data and t.name != current
                ]
                if others:
                    break
                current = following[0].output_names[0]
            met[name] = others
    return met


def _with_numbers(call: str, numbering: Mapping[int, str]) -> str:
    """A call with its inputs, of which some are numbers.

    A negative base of a power stands in brackets, a maximum with a number is a clamp, and a number
    of a shape a full tensor: that is how Python and PyTorch take them.
    """
    number = r"(-?[\d.]+(?:e[-+]?\d+)?)"
    call = PLACE.sub(lambda match: numbering[int(match.group(1))], call)
    call = re.sub(rf"^{number}\.expand\((.*)\)$", r"torch.full((\2), \1)", call)
    call = re.sub(rf"^{number} \*\* ", lambda m: f"({m[1]}) ** " if m[1] < "0" else m[0], call)
    for name, bound in (("maximum", "min"), ("minimum", "max")):
        behind = rf"torch\.{name}\((\{{\d\}}), {number}\)"
        before = rf"torch\.{name}\({number}, (\{{\d\}})\)"
        call = re.sub(behind, rf"torch.clamp(\1, {bound}=\2)", call)
        call = re.sub(before, rf"torch.clamp(\2, {bound}=\1)", call)
    return call


def _drops(node: Node) -> bool:
    """Whether a dropout is in training mode."""
    values = node.values(2)
    return bool(values and values[0])


def _ratio(node: Node) -> float:
    """A dropout's probability."""
    values = node.values(1) or (Fraction(1, 2),)
    return 0.5 if isinstance(values[0], Expression) else float(f"{float(values[0]):.6g}")


def _keeps_type(node: Node) -> bool:
    """Whether a cast is from one floating-point type to another: modules have one type."""
    return (
        bool(node.outputs)
        and node.input(0).dtype.is_floating_point()
        and node.outputs[0].dtype.is_floating_point()
    )


def _number_text(value: np.ndarray) -> str:
    number = value.reshape(-1)[0].item()
    if isinstance(number, bool | int):
        return str(number)
    if not np.isfinite(number):
        return f'float("{number}")'
    # The shortest text that is this float32.
    return repr(float(str(np.float32(number)))) if value.dtype == np.float32 else repr(number)
