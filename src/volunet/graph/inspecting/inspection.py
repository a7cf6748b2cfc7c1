"""`inspect_model`: everything that can be said of a network without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import onnx_ir as ir

from volunet.errors import ShapeError
from volunet.graph.inspecting.details import details
from volunet.graph.inspecting.limits import Limits, find_limits, nearest_size
from volunet.graph.inspecting.memory import ENGINE_MEMORY, predict_peak, weight_bytes
from volunet.graph.inspecting.receptive_field import Field, find_fields
from volunet.graph.network import CONTROL_FLOW, Network, infer_sizes
from volunet.graph.node import Node
from volunet.graph.operators import OPERATORS, Flops
from volunet.graph.operators.operator import count_elements
from volunet.graph.sizes import Size, shape_text
from volunet.plan import Plan

_USUAL: Final = {1: 1024, 2: 224, 3: 64}
"""Size an axis that a network is inspected at where neither the user nor its plan names one."""


@dataclass(frozen=True)
class Layer:
    """One operator that works on data.

    Attributes:
        name: The node's name.
        operator: The ONNX operator.
        role: Its part in a network.
        size: Sizes of its first output; None where they are not known.
        formula: The same for an input of any size.
        kernel: Its kernel, empty where it has none.
        receptive_field: Voxels of the input, on each spatial axis, that one of its voxels depends
            on; None on an axis that it depends on as a whole. None for all: not known.
        receptive_field_mm: The same in mm, where the voxels' spacing is known.
        parameters: Learned numbers; those that an earlier layer has already are not counted again.
        flops: In convolutions and matrix products, 2 a multiply-add.
        other_flops: All others.
        activation_bytes: Bytes of its outputs.
    """

    name: str
    operator: str
    role: str
    size: tuple[int, ...] | None
    formula: str
    kernel: str
    receptive_field: tuple[int | None, ...] | None
    receptive_field_mm: tuple[float | None, ...] | None
    parameters: int
    flops: int
    other_flops: int
    activation_bytes: int | None


@dataclass(frozen=True)
class Inspection:
    """What can be said of a network without running it.

    Attributes:
        model: The file, run folder or preset.
        input_size: Size of its first input, batch and channels first.
        output_size: Size of its first output, None where it does not come so far.
        input_formula: The input's size, open axes as symbols.
        output_formula: The output's size as a formula of these.
        chosen_size: Whether nobody named the size: it is the plan's or a usual one.
        layers: The operators that work on data, in order.
        size_nodes: How many nodes only compute sizes or weights; they are no layers.
        parameters: Learned numbers.
        flops: In convolutions and matrix products, 2 a multiply-add.
        other_flops: All others.
        activation_bytes: All layers' outputs together; an engine frees most on the way.
        weight_bytes: Weights and constants.
        peak_bytes: Engine → predicted peak memory of one pass, without the caller's input.
        sizes: The sizes that the network takes, in words.
        failure: Where and why it does not take this size; empty where it does.
        mend: What to do about it.
        unsupported: Operators without a rule, with their nodes.
    """

    model: str
    input_size: tuple[int, ...]
    output_size: tuple[int, ...] | None
    input_formula: str
    output_formula: str
    chosen_size: bool
    layers: tuple[Layer, ...]
    size_nodes: int
    parameters: int
    flops: int
    other_flops: int
    activation_bytes: int
    weight_bytes: int
    peak_bytes: dict[str, int]
    sizes: str
    failure: str
    mend: str
    unsupported: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether the network takes the size and every operator is known."""
        return not self.failure and not self.unsupported

    def to_json(self) -> dict[str, Any]:
        """The inspection as plain data."""
        return {**asdict(self), "complete": self.complete}


def inspect_model(
    model: ir.Model, where: str, plan: Plan | None = None, size: Sequence[int] | None = None
) -> Inspection:
    """Inspect a network.

    Args:
        model: The graph, its nodes in order.
        where: The file, for messages.
        plan: Its plan, if it has one: says the voxels' spacing.
        size: Spatial sizes of its input. None: the plan's median size or a usual one, made one that
            the network takes.

    Raises:
        ShapeError: The size contradicts one that is fixed in the file, or has other axes.
    """
    network, symbolic = network_at(model, where, plan, size)
    found, do = describe_failure(network, symbolic)
    layers = _layers(network, symbolic, None if plan is None else plan.spacing_mm)
    return Inspection(
        model=where,
        input_size=_numbers(network.inputs[0].shape) or (),
        output_size=_numbers(network.outputs[0].shape) if network.outputs else None,
        input_formula=shape_text(symbolic.inputs[0].shape or ()),
        output_formula=_formula(symbolic.outputs[0].shape) if symbolic.outputs else "?",
        chosen_size=size is None,
        layers=layers,
        size_nodes=len(network.nodes) - len(network.data_nodes),
        parameters=sum(layer.parameters for layer in layers),
        flops=sum(layer.flops for layer in layers),
        other_flops=sum(layer.other_flops for layer in layers),
        activation_bytes=sum(layer.activation_bytes or 0 for layer in layers),
        weight_bytes=weight_bytes(network),
        peak_bytes=_peaks(network, plan),
        sizes=find_limits(symbolic).text + (" as far as is known" if network.unsupported else ""),
        failure=found,
        mend=do,
        unsupported=tuple(map(_unsupported_text, network.unsupported)),
    )


def network_at(
    model: ir.Model, where: str, plan: Plan | None, size: Sequence[int] | None
) -> tuple[Network, Network]:
    """A network at a size, and the same with its open axes as symbols.

    Args:
        model: The graph, its nodes in order.
        where: The file, for messages.
        plan: Its plan, if it has one.
        size: See `inspect_model`; one number stands for all axes.

    Raises:
        ShapeError: The size contradicts one that is fixed in the file, or has other axes.
    """
    symbolic = infer_sizes(model, where)
    limits = find_limits(symbolic)
    chosen = _on_every_axis(size, symbolic) if size else choose_size(symbolic, limits, plan)
    others = {a.axis: a.nearest(1) or 1 for a in limits.axes if not a.spatial}
    return infer_sizes(model, where, chosen, others), symbolic


def describe_failure(network: Network, symbolic: Network) -> tuple[str, str]:
    """Why a network does not take its size, and what to do about it; empty where it does.

    Args:
        network: The network at the size.
        symbolic: The same with its open axes as symbols.
    """
    if not network.failures:
        return "", ""
    return _failure_text(network, symbolic), _mend(network, symbolic)


def choose_size(symbolic: Network, limits: Limits, plan: Plan | None) -> tuple[int, ...]:
    """A size to inspect at: the plan's median or a usual one, from there up one that passes."""
    spatial = _spatial(symbolic)
    wanted = (_USUAL.get(len(spatial), 1),) * len(spatial)
    if plan is not None and plan.fingerprint is not None and len(spatial) == len(plan.patch_size):
        wanted = plan.fingerprint.median_size
    return (
        _passing(spatial, limits, wanted)
        or _passing(spatial, limits, (1,) * len(spatial))
        or (_with_open(spatial, dict(zip(map(str, spatial), wanted, strict=True))))
    )


def _passing(
    spatial: tuple[Size, ...], limits: Limits, wanted: Sequence[int]
) -> tuple[int, ...] | None:
    """The size that passes, on no open axis below a wanted one; None where none is known."""
    least = dict(zip(map(str, spatial), wanted, strict=True))
    nearest = nearest_size(limits, [least[limit.axis] for limit in limits.spatial])
    if nearest is None:
        return None
    names = [limit.axis for limit in limits.spatial]
    return _with_open(spatial, dict(zip(names, nearest, strict=True)))


def _with_open(spatial: tuple[Size, ...], numbers: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else numbers[str(size)] for size in spatial)


def _on_every_axis(size: Sequence[int], network: Network) -> tuple[int, ...]:
    """A size for each spatial axis, one number standing for all."""
    axes = len(_spatial(network))
    if len(size) == 1:
        return (size[0],) * axes
    if len(size) not in (axes, axes + 2):
        raise ShapeError(
            network.where,
            f"a size of {len(size)} axes, {shape_text(tuple(size))}, for an input of "
            f"{shape_text(network.inputs[0].shape or ())}",
            f"One number, or one for each of its {axes} spatial axes, those behind the first two.",
            "Where channels come last, name all axes: batch, sizes, channels.",
        )
    return tuple(size)


def _layers(
    network: Network, symbolic: Network, spacing_mm: tuple[float, ...] | None
) -> tuple[Layer, ...]:
    axes = range(2, 2 + len(_spatial(network)))
    fields = [find_fields(network, axis) for axis in axes]
    formulas = {
        id(node): other.outputs[0].shape
        for node, other in zip(network.nodes, symbolic.nodes, strict=True)
        if other.outputs
    }
    counted: set[str] = set()
    layers = []
    for node in network.data_nodes:
        known = node.op_type in OPERATORS and bool(_numbers(node.outputs[0].shape) is not None)
        flops = OPERATORS[node.op_type].flops(node) if known else Flops()
        field = _field_of(fields, node)
        layers.append(
            Layer(
                name=node.name,
                operator=node.op_type,
                role=OPERATORS[node.op_type].role_in(node) if known else "other",
                size=_numbers(node.outputs[0].shape),
                formula=_formula(formulas.get(id(node))),
                kernel=dict(details(node)).get("kernel", ""),
                receptive_field=field,
                receptive_field_mm=_in_mm(field, spacing_mm),
                parameters=_parameters(node, counted),
                flops=flops.products,
                other_flops=flops.others,
                activation_bytes=_activation_bytes(node),
            )
        )
    return tuple(layers)


def _field_of(
    fields: Sequence[dict[str, Field | None]], node: Node
) -> tuple[int | None, ...] | None:
    name = node.outputs[0].name
    if not all(name in of_axis for of_axis in fields):
        return None
    found = [of_axis[name] for of_axis in fields]
    return tuple(None if field is None else field.size for field in found)


def _in_mm(
    field: tuple[int | None, ...] | None, spacing_mm: tuple[float, ...] | None
) -> tuple[float | None, ...] | None:
    if field is None or spacing_mm is None or len(spacing_mm) != len(field):
        return None
    pairs = zip(field, spacing_mm, strict=True)
    return tuple(None if voxels is None else voxels * mm for voxels, mm in pairs)


def _parameters(node: Node, counted: set[str]) -> int:
    if node.op_type not in OPERATORS:
        return 0
    total = 0
    for index in OPERATORS[node.op_type].parameter_inputs(node):
        tensor = node.inputs[index] if index < len(node.inputs) else None
        if tensor is None or tensor.is_data or tensor.name in counted:
            continue
        counted.add(tensor.name)
        total += count_elements(tensor.shape)
    return total


def _activation_bytes(node: Node) -> int | None:
    sizes = [tensor.num_bytes for tensor in node.outputs]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _peaks(network: Network, plan: Plan | None) -> dict[str, int]:
    """Predictions for the engines that take this model; PyTorch only takes volunet's own."""
    own = plan is not None and plan.network is not None
    peaks = {
        engine: predict_peak(network, engine)
        for engine in ENGINE_MEMORY
        if engine != "torch" or own
    }
    return {engine: peak for engine, peak in peaks.items() if peak is not None}


def _failure_text(network: Network, symbolic: Network) -> str:
    failure = network.failures[0]
    text = str(failure)
    rule = failure.requirement
    for node, other in zip(network.nodes, symbolic.nodes, strict=True):
        if node is not failure.node or rule is None:
            continue
        for formula in other.requirements:
            if formula.reason == rule.reason:
                return f"{text} ({_relation(formula.left, formula.right)})"
    return text


def _relation(left: Size, right: Size) -> str:
    return f"{left} and {right}" if right != 1 else f"{left}"


def _mend(network: Network, symbolic: Network) -> str:
    limits = find_limits(symbolic)
    if limits.never:
        return "No size passes this node: the file contradicts itself. Export the model again."
    if limits.unknown or not limits.spatial:
        return "Try another --size, or export the model with dynamic axes."
    here = _numbers(_spatial(network)) or ()
    better = _passing(_spatial(symbolic), limits, here)
    if better is None or better == here:
        return f"Sizes that work: {limits.text}."
    return (
        f"Sizes that work: {limits.text}. Pad the input to {shape_text(better)} and crop the "
        "answer; or have the padding in the graph, as volunet's networks do (alignment pad_input)."
    )


def _unsupported_text(node: Node) -> str:
    why = "control flow is not supported" if node.op_type in CONTROL_FLOW else "no rule"
    return f"{node.op_type} '{node.name}' ({why})"


def _spatial(network: Network) -> tuple[Size, ...]:
    shape = network.inputs[0].shape or ()
    return shape[2:]


def _formula(shape: tuple[Size, ...] | None) -> str:
    return "?" if shape is None else shape_text(shape)


def _numbers(shape: tuple[Size, ...] | None) -> tuple[int, ...] | None:
    numbers = tuple(size for size in shape or () if isinstance(size, int))
    return None if shape is None or len(numbers) < len(shape) else numbers
