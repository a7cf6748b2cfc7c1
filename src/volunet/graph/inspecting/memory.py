"""The peak memory of one whole-volume pass, predicted for each engine.

Tensors are followed through the nodes in order: each is made by its node and let go behind the last
one that reads it. What an engine does differently is data, an `EngineMemory`: which operators work
in place, what it copies, what it computes in besides. The numbers there are measured
(``benchmarks/inspection``) or read off the engines, as said beside each.

ONNX Runtime is not predicted: no such model of it held where norms are written out.

Counted is what a process grows by from before the model is loaded: weights, tensors, scratch and
the answer, without the caller's own input array.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Final

from volunet.graph.network import Network
from volunet.graph.node import Node
from volunet.graph.operators import OPERATORS
from volunet.graph.operators.conv import conv_windows
from volunet.graph.operators.conv_transpose import transposed_windows
from volunet.graph.tensors import Tensor

_VIEWS: Final = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
"""Operators that every engine answers with their input's own memory."""

_FLOAT_BYTES: Final = 4


@dataclass(frozen=True)
class EngineMemory:
    """What an engine does with memory.

    Attributes:
        weight_copies: Bytes held a byte of weights once the model is loaded: the file, the engine's
            own arrangement of them, and what loading leaves behind.
        base_bytes: What loading any model takes: generated code, thread pools, tables.
        in_place: Roles of operators, and operators, that write over their input where nothing else
            reads it, because the engine fuses them or is told to.
        views: Operators that answer with a part of their input's memory.
        input_copies: Copies of the network's input.
        output_copies: Copies of its output besides the answer.
        keeps_scratch: Whether scratch memory stays for the whole pass.
    """

    weight_copies: float
    base_bytes: int
    in_place: frozenset[str]
    views: frozenset[str]
    input_copies: int
    output_copies: int
    keeps_scratch: bool


ENGINE_MEMORY: Final[dict[str, EngineMemory]] = {
    # The Python call copies the input (share_inputs=False) and reorders it to channels-last; the
    # output is reordered back, and copied by our engine.
    "openvino": EngineMemory(
        weight_copies=3.0,
        base_bytes=55_000_000,
        in_place=frozenset({"activation", "normalisation"}),
        views=_VIEWS,
        input_copies=2,
        output_copies=2,
        keeps_scratch=True,
    ),
    # UNet3d's activations are in place, its norms are not; the file, its arrays and the module's
    # own weights are all read before the first are let go.
    "torch": EngineMemory(
        weight_copies=3.9,
        base_bytes=40_000_000,
        in_place=frozenset({"activation"}),
        views=_VIEWS | {"Slice", "Transpose", "Expand", "Split"},
        input_copies=0,
        output_copies=0,
        keeps_scratch=False,
    ),
}


def predict_peak(network: Network, engine: str) -> int | None:
    """Predict the peak memory of one pass.

    Args:
        network: A network whose sizes are numbers.
        engine: ``openvino``, or ``torch`` for one of volunet's own networks.

    Returns:
        Bytes; None where some size is not known.
    """
    rules = ENGINE_MEMORY[engine]
    nodes = network.data_nodes
    if network.failures or any(
        tensor.num_bytes is None for node in nodes for tensor in node.outputs
    ):
        return None
    held = _held_until(nodes) if engine == "torch" else {}
    scratch = [_scratch(node, engine) for node in nodes]
    live = _live_bytes(network, nodes, rules, held)
    if rules.keeps_scratch:
        peak = max(live, default=0) + max(scratch, default=0)
    else:
        peak = max((a + b for a, b in zip(live, scratch, strict=True)), default=0)
    copies = rules.input_copies * _bytes_of(network.inputs)
    copies += rules.output_copies * _bytes_of(network.outputs)
    return peak + copies + int(rules.weight_copies * weight_bytes(network)) + rules.base_bytes


def weight_bytes(network: Network) -> int:
    """Bytes of all weights and constants."""
    computed = (node for node in network.nodes if node.op_type != "Constant")
    made = {name for node in computed for name in node.output_names}
    return _bytes_of(t for t in network.tensors.values() if not t.is_data and t.name not in made)


def _bytes_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.num_bytes or 0 for tensor in tensors)


def _live_bytes(
    network: Network, nodes: tuple[Node, ...], rules: EngineMemory, held: dict[str, int]
) -> list[int]:
    """Bytes of the tensors that are alive while each node runs."""
    readers: dict[str, int] = {}
    for node in nodes:
        for name in {tensor.name for tensor in node.inputs if tensor is not None}:
            readers[name] = readers.get(name, 0) + 1
    memory: dict[str, str] = {tensor.name: "" for tensor in network.inputs}  # the caller's
    size: dict[str, int] = {}
    made: dict[str, int] = {}
    last: dict[str, int] = {}
    for place, node in enumerate(nodes):
        for tensor in node.inputs:
            if tensor is not None and memory.get(tensor.name):
                owner = memory[tensor.name]
                last[owner] = max(place, held.get(tensor.name, 0), last.get(owner, 0))
        shared = _shared_input(node, rules, readers)
        for tensor in node.outputs:
            if shared is not None and shared in memory:
                memory[tensor.name] = memory[shared]
                continue
            memory[tensor.name] = tensor.name
            size[tensor.name] = tensor.num_bytes or 0
            made[tensor.name] = place
            last[tensor.name] = max(place, held.get(tensor.name, 0))
    for tensor in network.outputs:
        if memory.get(tensor.name):
            last[memory[tensor.name]] = len(nodes) - 1
    live = [0] * len(nodes)
    for owner, place in made.items():
        for at in range(place, last[owner] + 1):
            live[at] += size[owner]
    return live


def _shared_input(node: Node, rules: EngineMemory, readers: dict[str, int]) -> str | None:
    """The input whose memory a node's output takes; None where it has its own."""
    data = [tensor for tensor in node.inputs if tensor is not None and tensor.is_data]
    if len(data) != 1:
        return None
    name = data[0].name
    if node.op_type in rules.views or (
        data[0].shape == node.outputs[0].shape and (node.op_type in ("Pad", "Slice"))
    ):
        return name
    role = OPERATORS[node.op_type].role_in(node) if node.op_type in OPERATORS else "other"
    in_place = role in rules.in_place or node.op_type in rules.in_place
    return name if in_place and readers.get(name) == 1 else None


def _scratch(node: Node, engine: str) -> int:
    """Bytes that a node computes in besides its tensors."""
    if node.op_type == "ConvTranspose":
        windows = transposed_windows(node)
        taps = prod(window.kernel for window in windows)
        columns = taps * prod((*_sizes(node.outputs[0])[:2], *_sizes(node.input(0))[2:]))
        if engine == "torch":  # slow_conv_transpose3d: a column for each tap and input voxel
            return _FLOAT_BYTES * columns
        if engine == "openvino" and any(window.dilation != 1 for window in windows):
            # oneDNN's only deconvolution with dilation here is jit_gemm (the runtime model's
            # primitiveType); its scratch pad holds the columns and an accumulator of the output.
            return _FLOAT_BYTES * columns + (node.outputs[0].num_bytes or 0)
        return 0
    if node.op_type == "Conv" and engine == "torch":
        return _torch_convolution(node)
    return 0


def _torch_convolution(node: Node) -> int:
    """The input in oneDNN's layout, or where PyTorch does not take oneDNN all windows unfolded.

    Source:
        use_mkldnn in PyTorch's aten/src/ATen/native/Convolution.cpp: of a batch below 16, a kernel
        of at most 3, stride and dilation 1, only from 20480 lines of the last axis on.
    """
    shape = _sizes(node.input(0))
    windows = conv_windows(node)
    plain = all(w.kernel <= 3 and w.stride == 1 and w.dilation == 1 for w in windows)
    if len(windows) == 3 and plain and prod(shape[:-1]) <= 20480 and shape[0] < 16:
        taps = prod(window.kernel for window in windows)
        return _FLOAT_BYTES * taps * shape[1] * prod(_sizes(node.outputs[0])[2:])
    return node.input(0).num_bytes or 0


def _sizes(tensor: Tensor) -> tuple[int, ...]:
    return tuple(size for size in tensor.shape or () if isinstance(size, int))


_BLOCK: Final = re.compile(r"(?:network\.)?((?:members\.\d+\.)?(?:encoders|decoders)\.\d+)\.")
_MEMBER: Final = re.compile(r"(?:network\.)?members\.(\d+)\.")


def _held_until(nodes: tuple[Node, ...]) -> dict[str, int]:
    """Until which node `UNet3d`'s own variables hold a tensor, though nothing reads it any more.

    Its forward holds a block's input while the block runs, what was joined to be that input too,
    and every skip until it ends: of an ensemble, each member's forward. Which block and which
    member a node is of is told by the names of its weights, which are those of the module.
    """
    block_of: dict[int, str] = {}
    member_end: dict[str, int] = {}
    for place, node in enumerate(nodes):
        for tensor in node.inputs:
            match = _BLOCK.match(tensor.name) if tensor is not None else None
            if match:
                block_of[place] = match[1]
            member = _MEMBER.match(tensor.name) if tensor is not None else None
            if member:
                member_end[member[1]] = place
    begin: dict[str, int] = {}
    end: dict[str, int] = {}
    for place, block in block_of.items():
        begin.setdefault(block, place)
        end[block] = place
    held: dict[str, int] = {}
    maker = {name: node for node in nodes for name in node.output_names}
    for block, place in begin.items():
        entering = nodes[place].input(0).name
        held[entering] = end[block]
        joining = maker.get(entering)
        for tensor in joining.inputs if joining is not None and "decoders" in block else ():
            if tensor is not None:
                held[tensor.name] = end[block]
    for place, node in enumerate(nodes):
        if node.op_type == "Concat" and node.inputs[0] is not None:
            ends = [end for end in member_end.values() if end > place]
            held[node.inputs[0].name] = min(ends, default=len(nodes) - 1)
    return held
